"""What can be shipped: models, their variants, and which variant suits which device. Pure."""
