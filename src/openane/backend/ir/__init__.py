"""What the back end plans: tensors, operands, tasks, and the units that only the back end knows."""
