"""The ways to train that ``speed.py`` times, each in a file of its own and each run in processes of its own."""
