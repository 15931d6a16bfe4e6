"""Which backend Core ML chooses for each operation, predicted offline."""
