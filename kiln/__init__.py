"""What the stages share; each file is named by its content, none imports a stage."""
