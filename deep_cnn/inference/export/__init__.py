"""The network in the formats of other programs.

card     What goes beside an exported network: a JSON for programs and a model card (Mitchell et al., 2019) for people
formats  Formats of exported networks: each is written, and read again by the program that its users will have
job      Write a network, read it again as its users will, compare on real images, and only then put it in its place
network  The network as it is exported: plain, or with everything between uint8 pixels and the answer inside
"""
