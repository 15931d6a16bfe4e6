"""Live ranges, allocation in L2 and DRAM, order of tasks, and the constant section."""
