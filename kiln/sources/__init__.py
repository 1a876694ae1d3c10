"""Where data comes from: folders, tables, archives, downloads, CIFAR."""
