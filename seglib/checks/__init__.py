"""Samples -> facts about each, and what is wrong with them, said before anything is computed."""
