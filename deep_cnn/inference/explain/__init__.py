"""Which parts of an image raise or lower a score or a class.

gallery  The pictures of a run's explanations: for whoever shows them, such as report.html
job      Explain some images of a run: choose them, compute the maps, check them, draw them
maps     Which parts of an image raise or lower one output of a network: Grad-CAM (Selvaraju et al., ICCV 2017), by captum
sanity   Do the maps depend on what the network has learnt? Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018
sheet    Pictures of explanations: an image under its maps, one sheet of all of them, and the figure of the sanity check
"""
