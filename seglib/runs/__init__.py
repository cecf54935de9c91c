"""Notebooks -> a run in a folder -> its report; several runs -> one."""
