"""What must hold before anything of a grid is trained."""
