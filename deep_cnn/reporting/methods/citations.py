"""Papers of the methods, and how a sentence cites them: "[@wilson]" becomes "(Wilson 1927)" and an entry of the references."""

import re

MARK = re.compile(r"\[@([\w,]+)\]")

# key: how the text cites it, and its entry: authors, title, where, year
REFERENCES: dict[str, tuple[str, str]] = {
    "adam": ("Kingma and Ba 2015", 'D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.'),
    "adamw": (
        "Loshchilov and Hutter 2019",
        'I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.',
    ),
    "aronow": (
        "Aronow, Samii and Assenova 2015",
        'P. Aronow, C. Samii, V. Assenova, "Cluster-robust variance estimation for dyadic data", Political Analysis, 2015.',
    ),
    "autoaugment": (
        "Cubuk et al. 2019",
        'E. Cubuk, B. Zoph, D. Mané, V. Vasudevan, Q. Le, "AutoAugment: learning augmentation strategies from data", CVPR 2019.',
    ),
    "bayle": (
        "Bayle et al. 2020",
        'P. Bayle, A. Bayle, L. Janson, L. Mackey, "Cross-validation confidence intervals for test error", NeurIPS 2020.',
    ),
    "bonett": (
        "Bonett and Wright 2000",
        'D. Bonett, T. Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations", Psychometrika, 2000.',
    ),
    "bradley": (
        "Bradley and Terry 1952",
        'R. Bradley, M. Terry, "Rank analysis of incomplete block designs: I. The method of paired comparisons", Biometrika, 1952.',
    ),
    "brown": (
        "Brown 1910",
        'W. Brown, "Some experimental results in the correlation of mental abilities", British Journal of Psychology, 1910.',
    ),
    "cifar": ("Krizhevsky 2009", 'A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.'),
    "corn": (
        "Shi et al. 2021",
        'X. Shi, W. Cao, S. Raschka, "Deep neural networks for rank-consistent ordinal regression based on conditional probabilities", '
        "arXiv:2111.08851, 2021.",
    ),
    "cosine": (
        "Loshchilov and Hutter 2017",
        'I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.',
    ),
    "cutmix": (
        "Yun et al. 2019",
        'S. Yun, D. Han, S. Oh, S. Chun, J. Choe, Y. Yoo, "CutMix: regularization strategy to train strong classifiers with localizable '
        'features", ICCV 2019.',
    ),
    "davidson": (
        "Davidson 1970",
        'R. Davidson, "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments", Journal of the '
        "American Statistical Association, 1970.",
    ),
    "densenet": (
        "Huang et al. 2017",
        'G. Huang, Z. Liu, L. van der Maaten, K. Weinberger, "Densely connected convolutional networks", CVPR 2017.',
    ),
    "efficientnet": (
        "Tan and Le 2019",
        'M. Tan, Q. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019.',
    ),
    "efficientnetv2": (
        "Tan and Le 2021",
        'M. Tan, Q. Le, "EfficientNetV2: smaller models and faster training", ICML 2021.',
    ),
    "fafchamps": (
        "Fafchamps and Gubert 2007",
        'M. Fafchamps, F. Gubert, "The formation of risk sharing networks", Journal of Development Economics, 2007.',
    ),
    "guo": (
        "Guo et al. 2017",
        'C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On calibration of modern neural networks", ICML 2017.',
    ),
    "holm": (
        "Holm 1979",
        'S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.',
    ),
    "kapoor": (
        "Kapoor et al. 2024",
        'S. Kapoor et al., "REFORMS: consensus-based recommendations for machine-learning-based science", Science Advances, 2024.',
    ),
    "lee": (
        "Lee, Barber and Willett 2023",
        'Y. Lee, R. Barber, R. Willett, "Distribution-free inference with hierarchical data", 2023.',
    ),
    "lei": (
        "Lei et al. 2018",
        'J. Lei, M. G\'Sell, A. Rinaldo, R. Tibshirani, L. Wasserman, "Distribution-free predictive inference for regression", Journal of '
        "the American Statistical Association, 2018.",
    ),
    "mixup": (
        "Zhang et al. 2018",
        'H. Zhang, M. Cisse, Y. Dauphin, D. Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018.',
    ),
    "mobilenetv2": (
        "Sandler et al. 2018",
        'M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018.',
    ),
    "moran": ("Moran 1950", 'P. Moran, "Notes on continuous stochastic phenomena", Biometrika, 1950.'),
    "muon": (
        "Jordan et al. 2024",
        'K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.',
    ),
    "nadeau": (
        "Nadeau and Bengio 2003",
        'C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning, 2003.',
    ),
    "onecycle": (
        "Smith and Topin 2019",
        'L. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2019.',
    ),
    "place_pulse": (
        "Dubey et al. 2016",
        'A. Dubey, N. Naik, D. Parikh, R. Raskar, C. Hidalgo, "Deep learning the city: quantifying urban perception at a global scale", '
        "ECCV 2016.",
    ),
    "preact": (
        "He et al. 2016b",
        'K. He, X. Zhang, S. Ren, J. Sun, "Identity mappings in deep residual networks", ECCV 2016.',
    ),
    "pytorch": (
        "Paszke et al. 2019",
        'A. Paszke et al., "PyTorch: an imperative style, high-performance deep learning library", NeurIPS 2019.',
    ),
    "randaugment": (
        "Cubuk et al. 2020",
        'E. Cubuk, B. Zoph, J. Shlens, Q. Le, "RandAugment: practical automated data augmentation with a reduced search space", NeurIPS 2020.',
    ),
    "resnet": (
        "He et al. 2016",
        'K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.',
    ),
    "sadinle": (
        "Sadinle, Lei and Wasserman 2019",
        'M. Sadinle, J. Lei, L. Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", Journal of the American '
        "Statistical Association, 2019.",
    ),
    "shrout": (
        "Shrout and Fleiss 1979",
        'P. Shrout, J. Fleiss, "Intraclass correlations: uses in assessing rater reliability", Psychological Bulletin, 1979.',
    ),
    "shufflenetv2": (
        "Ma et al. 2018",
        'N. Ma, X. Zhang, H.-T. Zheng, J. Sun, "ShuffleNet V2: practical guidelines for efficient CNN architecture design", ECCV 2018.',
    ),
    "smoothing": (
        "Szegedy et al. 2016",
        'C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, "Rethinking the Inception architecture for computer vision", CVPR 2016.',
    ),
    "spearman1904": (
        "Spearman 1904",
        'C. Spearman, "The proof and measurement of association between two things", American Journal of Psychology, 1904.',
    ),
    "spearman1910": (
        "Spearman 1910",
        'C. Spearman, "Correlation calculated from faulty data", British Journal of Psychology, 1910.',
    ),
    "trivialaugment": (
        "Müller and Hutter 2021",
        'S. Müller, F. Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation", ICCV 2021.',
    ),
    "trueskill": (
        "Herbrich, Minka and Graepel 2007",
        'R. Herbrich, T. Minka, T. Graepel, "TrueSkill: a Bayesian skill rating system", NeurIPS 2006 (2007).',
    ),
    "tukey": (
        "Tukey 1958",
        'J. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical Statistics, 1958.',
    ),
    "vgg": (
        "Simonyan and Zisserman 2015",
        'K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.',
    ),
    "vovk": (
        "Vovk, Gammerman and Shafer 2005",
        'V. Vovk, A. Gammerman, G. Shafer, "Algorithmic learning in a random world", 2005.',
    ),
    "wide": ("Zagoruyko and Komodakis 2016", 'S. Zagoruyko, N. Komodakis, "Wide residual networks", BMVC 2016.'),
    "wilson": (
        "Wilson 1927",
        'E. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical '
        "Association, 1927.",
    ),
    "zou": (
        "Zou and Donner 2008",
        'G. Zou, A. Donner, "Construction of confidence limits about effect measures: a general approach", Statistics in Medicine, 2008.',
    ),
}

# the beginning of a network's name, or behind "cifar_" -> the paper; the longest that fits counts
NETWORKS = {
    "resnet": "resnet",
    "preact_resnet": "preact",
    "wide_resnet": "wide",
    "densenet": "densenet",
    "vgg": "vgg",
    "efficientnet_v2": "efficientnetv2",
    "efficientnet": "efficientnet",
    "mobilenet_v2": "mobilenetv2",
    "shufflenet_v2": "shufflenetv2",
}


def of_network(name: str) -> str:
    """The mark of the network's paper behind its name; empty where none is known."""
    bare = name.removeprefix("cifar_")
    known = [start for start in NETWORKS if bare.startswith(start)]
    return f" [@{NETWORKS[max(known, key=len)]}]" if known else ""


def cited(text: str) -> str:
    """The text with authors and years in place of marks: "[@wilson,zou]" -> "(Wilson 1927; Zou and Donner 2008)"."""
    return MARK.sub(lambda mark: f"({'; '.join(REFERENCES[key][0] for key in mark[1].split(','))})", text)


def references_of(text: str) -> list[str]:
    """The entries of the papers that a text with marks cites, each once, by author."""
    keys = {key for mark in MARK.findall(text) for key in mark.split(",")}
    return sorted((REFERENCES[key][1] for key in keys), key=lambda entry: entry.split(", ")[0].split(". ")[-1])
