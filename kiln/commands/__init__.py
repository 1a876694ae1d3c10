"""The commands of `kiln`, one file each."""
