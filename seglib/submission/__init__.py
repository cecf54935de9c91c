"""Masks <-> run lengths <-> CSV files, ours and those of others."""
