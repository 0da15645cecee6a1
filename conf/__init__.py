"""The settings of every command, by group; part of the package as `rtf.conf`, so that Hydra finds them."""
