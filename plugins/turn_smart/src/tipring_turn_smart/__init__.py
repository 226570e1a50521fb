"""Smart Turn decides, by how the caller sounds, whether they are done."""
