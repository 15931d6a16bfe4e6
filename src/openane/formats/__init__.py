"""Level 4: bytes. Containers of compiled programs (.hwx, .anec), their assembly text, and what a file is."""
