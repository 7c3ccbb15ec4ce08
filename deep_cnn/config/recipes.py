"""Recipes: named sets of defaults."""

import dataclasses
from typing import Any

from deep_cnn.config.fields import converted, wrong
from deep_cnn.config.schema import Config
from deep_cnn.runtime.errors import nearest

# A recipe is a row: the defaults that it changes. A flag on the command line wins over its recipe.
RECIPES: dict[str, dict[str, Any]] = {
    # AdamW, warm-up, cosine and a slower backbone: common practice for fine-tuning (e.g. Kornblith, Shlens and Le, 2019)
    "finetune": {},
    # the head alone, on features computed once
    "probe": {"freeze": "backbone", "augment": "none", "weight_decay": 0.0},
    # He et al. 2016 for CIFAR-10, with Nesterov's momentum and cosine decay
    "scratch": {"weights": "none", "optimizer": "sgd", "nesterov": True, "lr": 0.1, "weight_decay": 5e-4},
    # Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, with a moving average instead of Lookahead, and with two later
    # savings: Muon for the filters (Jordan's own record of November 2024: batch, epochs, its rate 0.24 and momentum are from there; the
    # head's rate is that one's for a mean loss and outputs divided by 9, at one momentum for all), and small images first.
    "cifar_fast": {
        "model": "cifar_fast",
        "weights": "none",
        "augment": "cifar_fast",
        "val_split": 0.0,
        "epochs": 8,
        "batch_size": 2000,
        "optimizer": "muon",
        "nesterov": True,
        "momentum": 0.6,
        "lr": 4.3,
        "backbone_lr": 0.24,
        "weight_decay": 0.0009,
        "schedule": "triangle",
        "warmup": 0.0,
        "small_epochs": 3,
        "label_smoothing": 0.2,
        "ema": 0.9,
        "tta": "shift",
    },
    # PyTorch's tutorial "Training a classifier", on CIFAR-10
    "tutorial": {
        "model": "net",
        "weights": "none",
        "pre": "half",
        "augment": "none",
        "val_split": 0.0,
        "epochs": 2,
        "batch_size": 4,
        "optimizer": "sgd",
        "lr": 1e-3,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0.0,
        "precision": "fp32",
        "console": "tutorial",
    },
}


def with_recipe(given: dict[str, Any], options_class: type[Config] = Config) -> Config:
    """The run that flags ask for: defaults, then the recipe's, then the flags themselves."""
    fields = {f.name: f for f in dataclasses.fields(options_class)}
    recipe = converted(fields["recipe"], given.get("recipe", "finetune"))
    if recipe not in RECIPES:
        raise wrong("recipe", recipe, f"unknown; choose one of {', '.join(RECIPES)}.{nearest(recipe, RECIPES)}")
    return options_class(**(RECIPES[recipe] | given))


def recipe_line(config: Config) -> str:
    """What the recipe of a run sets, and which of it the command line overrides: a line for its log."""
    recipe = RECIPES[config.recipe]
    kept = [f"--{name}={value}" for name, value in recipe.items() if getattr(config, name) == value]
    other = [f"--{name}={getattr(config, name)}" for name in recipe if getattr(config, name) != recipe[name]]
    if not recipe:
        return f"Recipe: {config.recipe} (default settings)"
    return f"Recipe: {config.recipe} ({' '.join(kept)})" + (f"; overridden: {' '.join(other)}" if other else "")
