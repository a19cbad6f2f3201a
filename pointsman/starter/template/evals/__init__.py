"""What is measured of the workflows."""
