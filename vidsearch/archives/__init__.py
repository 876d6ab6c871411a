"""Files inside tar and zip archives, read in place: `shards/00000.tar/key.mp4` names one as if the archive were a folder."""
