"""What a machine has and how work is put on it: memory, threads, processes, time, mounts."""
