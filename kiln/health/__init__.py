"""What the doctor examines and repairs."""
