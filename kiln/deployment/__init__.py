"""Using a trained model: prediction and benchmark."""
