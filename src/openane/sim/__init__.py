"""Parts of the machine, the same for every chip: memory, checks, engines, statistics, trace."""
