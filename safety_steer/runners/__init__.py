"""Where parts of a long job run: in this process, in several of this computer, or on a Ray cluster."""
