"""Network, weights, preprocessing, augmentation, optimisation, choice of the epoch, seeds and machine."""

from deep_cnn.config.registries import (
    AUGMENTATION_PRESETS,
    AUGMENTATIONS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    Schedule,
    metric_row,
)
from deep_cnn.reporting.methods.citations import of_network
from deep_cnn.reporting.methods.material import between
from deep_cnn.reporting.methods.study import Study
from deep_cnn.runtime.format import listed, percent, plural, quantity

WITH_PAPER = frozenset(
    ("trivialaugment", "randaugment", "autoaugment", "adamw", "adam", "muon")
)  # cited by their names
OPTIMIZER_NAMES = {"adamw": "AdamW", "adam": "Adam", "sgd": "stochastic gradient descent", "muon": "Muon"}
COURSES = {
    "cosine": "it fell to 0 along a cosine [@cosine]",
    "onecycle": "it rose for 30% of the steps, then fell [@onecycle]",
    "triangle": "it rose and fell linearly",
    "step": "it fell to a tenth after each third of the steps",
    "plateau": "it fell to a tenth whenever validation stopped improving",
    "constant": "it did not change",
}
NO_WEIGHTS = "none"


def network(study: Study) -> list[str]:
    """Architecture, where its weights are from, and what of it was trained."""
    model, flags, record = study.first.config["model"], study.flags, study.first.config
    outputs = study.task.outputs
    learnt = (
        f"an output for each of {outputs} {study.task.nouns}"
        if outputs == len(study.task.names)
        else f"{outputs} outputs"
    )
    each = learnt if outputs > 1 else "one output"
    found = [f"The network was {model['name']}{of_network(model['name'])} with {each}."]
    if flags["weights"] == NO_WEIGHTS:
        found.append("Its initial weights were random.")
    else:
        source = record.get("weights_file") or {"pretrained": "the program's pretrained ones"}.get(
            flags["weights"], flags["weights"]
        )
        digest = f", SHA-256 {record['weights_sha256']}" if record.get("weights_sha256") else ""
        found.append(f"Its initial weights were {source}{digest}; the last layer was new.")
    found += _frozen(study)
    if model.get("dropout"):
        found.append(f"Dropout before the last layer had rate {quantity(model['dropout'])}.")
    if flags.get("batchnorm") == "keep" and (flags["freeze"] != "backbone" or flags.get("unfreeze_epoch")):
        found.append("Batch normalisation kept the means and variances of the initial weights.")
    return found


def _frozen(study: Study) -> list[str]:
    freeze, until = study.flag("freeze"), study.flag("unfreeze_epoch")
    if freeze in (None, "none"):
        return []
    if freeze == "backbone":
        what = "Only the last layer was trained; the rest of the network was frozen"
    else:
        what = f"The first {freeze} stages of the network were frozen"
    found = [f"{what}{f' until epoch {until}' if until else ''}."]
    if study.flag("views"):
        found.append(
            f"The last layer learnt from {plural(study.flags['views'], 'augmented view')} of each training image."
        )
    return found


def preprocessing(study: Study) -> list[str]:
    """From a file to the network's input."""
    pre = study.first.config["preprocessing"]
    resize, crop = pre["resize"], pre["crop"]
    fit = {
        "crop": f"were resized to a shorter side of {resize} pixels",
        "squash": f"were resized to {resize} x {resize} pixels, whatever their shape,",
        "pad": f"were padded to squares and resized to {resize} x {resize} pixels",
    }[pre.get("fit", "crop")]
    cut = "" if crop == resize and pre.get("fit", "crop") != "crop" else f" and cropped to the central {crop} x {crop}"
    of_each = [member.config["preprocessing"] for member in study.members]
    numbers = [
        ", ".join(between(of, quantity) for of in zip(*(pre[name] for pre in of_each), strict=True))
        for name in ("mean", "std")
    ]
    return [
        f"Images {fit} ({pre['interpolation']} interpolation){cut}; the values of the red, green and blue channels, from 0 to 1, were "
        f"standardised by the means {numbers[0]} and the standard deviations {numbers[1]}."
    ]


def augmentation(study: Study) -> list[str]:
    """What was changed at random in training images."""
    spec = str(study.flags["augment"]).replace(" ", "").lower().replace("color", "colour")
    words = [word for word in spec.split(",") if word]
    if len(words) == 1 and words[0] in AUGMENTATIONS:
        words = [*AUGMENTATIONS[words[0]].before, *words]
    names = [name for word in words for name in AUGMENTATION_PRESETS.get(word, (word,))]
    steps = [AUGMENTATIONS[name].description + (f" [@{name}]" if name in WITH_PAPER else "") for name in names]
    found = [f"Training images were augmented: {'; '.join(steps)}." if steps else "Training images were not augmented."]
    for name, title in (("mixup", "Mixup [@mixup]"), ("cutmix", "CutMix [@cutmix]")):
        if alpha := study.flag(name):
            found.append(f"{title} was used with alpha {quantity(alpha)}.")
    if epochs := study.flag("small_epochs"):
        found.append(f"The first {plural(epochs, 'epoch')} used images of about three quarters of the side.")
    return found


def optimisation(study: Study) -> list[str]:
    """Loss, optimizer, rates, schedule, length and regularisation."""
    flags, decisions = study.flags, study.first.config["decisions"]
    found = [_loss(study)]
    name = flags["optimizer"]
    title = title_of(name)
    paper = f" [@{name}]" if name in WITH_PAPER else ""
    momentum = ""
    if "momentum" in getattr(OPTIMIZERS.get(name), "flags", ()):
        momentum = f" with {'Nesterov ' if flags['nesterov'] else ''}momentum {quantity(flags['momentum'])}"
    decay = "without weight decay"
    if flags["weight_decay"]:
        decay = f"with weight decay {quantity(flags['weight_decay'])} (not of biases and normalisation)"
    unit = "votes" if study.of_votes else "images"
    found.append(
        f"It was minimised by {title}{paper}{momentum} in batches of {between([m.config['config']['batch_size'] for m in study.members])} "
        f"{unit}, {decay}."
    )
    lr = decisions.get("lr") if flags["lr"] == "auto" else flags["lr"]
    by_test = ", chosen by a range test," if flags["lr"] == "auto" else ""
    rates = f"The learning rate of the last layer{by_test} was {quantity(lr)}"
    if flags["freeze"] != "backbone" or flags.get("unfreeze_epoch"):
        rates += _rate_of_backbone(study, lr)
    schedule = SCHEDULES[flags["schedule"]]
    warm = flags["warmup"] if not schedule.own_rise else 0
    rise = f" after a linear rise in the first {percent(warm, 0)} of the steps" if warm else ""
    found.append(f"{rates}; {_course(study, schedule)}{rise}.")
    return [*found, *_length(study), *_regularisation(study)]


def title_of(optimizer: str) -> str:
    """What the text calls an optimizer of --optimizer, also one whose row is new."""
    library, _, name = optimizer.rpartition("/")
    return OPTIMIZER_NAMES.get(optimizer, f"the optimizer {name}" + (f" of the library {library}" if library else ""))


def _course(study: Study, schedule: Schedule) -> str:
    """How the rate went, or was to go where training stopped early."""
    course, epochs = course_of(schedule), study.flags["epochs"]
    trained = max(len(member.history) for member in study.members)
    if schedule.name in ("plateau", "constant") or trained >= epochs or not course.startswith("it "):
        return course
    planned = course.removeprefix("it ").replace("rose", "risen").replace("fell", "fallen")
    return f"over all of the {epochs} planned epochs it would have {planned}"


def course_of(schedule: Schedule) -> str:
    """How the rate went, as a clause, also of a schedule whose row is new."""
    return COURSES.get(schedule.name, f"its course: {schedule.description}")


def _loss(study: Study) -> str:
    name = study.first.config["task"]["loss"]
    papers = {"bradley_terry": " [@bradley]", "davidson": " [@bradley,davidson]"}
    if name == "bradley_terry":
        return (
            f"The loss was that of the Bradley-Terry model{papers[name]}; a tie counts as half a vote for each image."
        )
    if name == "davidson":
        return f"The loss was that of the Bradley-Terry model with Davidson's extension for ties{papers[name]}, whose parameter was learnt."
    if name == "ordinal":
        return (
            "Ratings were learnt as ordered levels, by conditional probabilities of passing each level (CORN) [@corn]."
        )
    description = LOSSES[name].description if name in LOSSES else name
    return f"The loss was {'the ' if name == 'mse' else ''}{description}{' loss' if name == 'huber' else ''}."


def _rate_of_backbone(study: Study, lr: float) -> str:
    flags = study.flags
    if OPTIMIZERS[flags["optimizer"] if flags["optimizer"] in OPTIMIZERS else "timm/NAME"].orthogonal:
        return ""  # Muon's rate is of another kind: the share of its norm by which a filter changes
    rate = flags.get("backbone_lr")
    if rate is None:
        rate = lr if flags["weights"] == NO_WEIGHTS else lr / 10
    return f", that of the other layers {quantity(rate)}" if rate != lr else ", as of all layers"


def _length(study: Study) -> list[str]:
    flags = study.flags
    trained = [len(member.history) for member in study.members]
    found = [f"Training took {between(trained)} {'epoch' if trained == [1] else 'epochs'}."]
    if flags.get("patience"):
        found.append(
            f"It was to stop after {plural(flags['patience'], 'epoch')} without a better validation result, at the latest after "
            f"{flags['epochs']:,}."
        )
    return found


def _regularisation(study: Study) -> list[str]:
    flags, found = study.flags, []
    if study.first.config["task"].get("label_smoothing"):
        found.append(f"Labels were smoothed by {quantity(study.first.config['task']['label_smoothing'])} [@smoothing].")
    if flags.get("l1"):
        found.append(f"An L1 penalty of {quantity(flags['l1'])} was added.")
    if flags.get("clip"):
        found.append(f"Gradients were clipped to norm {quantity(flags['clip'])}.")
    if flags.get("ema"):
        found.append(
            f"An exponential moving average of the weights (decay {quantity(flags['ema'])}) was validated and tested."
        )
    rare = "scores" if study.of_scores else f"{study.task.nouns}"
    if flags.get("oversample"):
        found.append(f"Images with rare {rare} were drawn more often.")
    if flags.get("class_weights"):
        found.append(f"Images with rare {rare} had more weight in the loss.")
    return found


def selection(study: Study) -> list[str]:
    """Which epoch's weights were tested, and why those."""
    first = study.first
    epochs = [member.best_epoch for member in study.members if member.best_epoch is not None]
    if not epochs:
        return []
    counted = f"epoch {between(epochs)}, counted from 0"
    if f"val_{study.task.select}" not in first.history[-1]:
        return [
            f"There was no validation set; the weights of the last epoch ({counted}) were {'tested' if study.test else 'kept'}."
        ]
    by = metric_row(study.task.select).label
    which = "highest" if metric_row(study.task.select).higher_is_better else "lowest"
    kept = "In each fold the" if study.of_folds else "The"
    used = "tested" if study.test else "kept"
    blind = "; the test set was not used to choose it" if study.test else ""
    return [f"{kept} weights of the epoch with the {which} validation {by} were {used} ({counted}){blind}."]


def machine(study: Study) -> list[str]:
    """Seeds, hardware as far as it is recorded, and versions."""
    flags, decisions, versions = study.flags, study.first.config["decisions"], study.first.config["versions"]
    found = [f"All random numbers derive from the seed {flags['seed']}."]
    device = decisions["device"].split(":")[0]
    on = {"cpu": "a CPU", "cuda": "a GPU (CUDA)", "mps": "a GPU (Apple MPS)"}.get(device, device)
    processes = decisions.get("processes", 1)
    many = f" in {processes} processes" if processes > 1 else ""
    names = [f"{title} {versions[key]}" for key, title in LIBRARIES.items() if key in versions]
    commit = f" (commit {versions['git_commit'][:12]})" if versions.get("git_commit") else ""
    found.append(
        f"Computations ran on {on}{many} in {PRECISIONS.get(decisions['precision'], decisions['precision'])}, with deep_cnn "
        f"{versions['deep_cnn']}{commit}, {listed(names)} [@pytorch]."
    )
    return found


LIBRARIES = {"python": "Python", "torch": "PyTorch", "torchvision": "torchvision", "numpy": "NumPy"}
PRECISIONS = {
    "fp32": "32-bit floating point",
    "bf16": "bfloat16 mixed precision",
    "fp16": "16-bit mixed precision",
    "fp64": "64-bit floating point",
}
