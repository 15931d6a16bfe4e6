"""What every level shares: errors that explain themselves, origins, element types, bounded readers."""
