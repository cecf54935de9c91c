"""Many runs at once: `cells` plans them, `run` runs them and keeps the table, `cluster` finds them workers."""
