"""An organization as a whole: into one file, out of it on another installation or under another slug, and deletion.

What belongs to an organization is said in contents.py, how its file is encrypted in sealed.py, what stands in it in
archive.py."""
