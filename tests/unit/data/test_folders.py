"""Layouts of folders as data sets are published and as people make them: honoured, or refused with what to give."""

from pathlib import Path

import numpy as np
import pytest

from deep_cnn.data.index import FREE, Index, IndexOptions, build_index
from deep_cnn.data.split_names import TEST, TRAIN, VALIDATION, Asked, roles_of, split_word
from deep_cnn.runtime.errors import ConfigError, DataError


def touch(root: Path, *names: str) -> Path:
    """Files with distinct bytes; their content is not looked at here. "a/{x,y}/1.jpg" stands for a/x/1.jpg and a/y/1.jpg."""
    for name in names:
        head, brace, tail = name.partition("{")
        if brace:
            inner, _, rest = tail.partition("}")
            touch(root, *(head + part + rest for part in inner.split(",")))
            continue
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def splits(index: Index) -> dict[str, set[str]]:
    """{split: the tops of its images' paths}, of the folder below which they differ."""
    names = {FREE: "free", TRAIN: "train", VALIDATION: "val", TEST: "test"}
    found: dict[str, set[str]] = {}
    for path, split in zip(index.paths, index.given_split.tolist(), strict=True):
        found.setdefault(names[split], set()).add(path.rpartition("/")[0].replace(" ", "_"))
    return found


def notes_of(index) -> str:
    return "\n".join(index.notes)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, split, rest",
    [
        ("train", TRAIN, ""),
        ("Testing", TEST, ""),
        ("seg_train", TRAIN, "seg_"),
        ("TestSet", TEST, "_set"),
        ("training_set", TRAIN, "_set"),
        ("val2017", VALIDATION, "2017"),
        ("asl-alphabet-test", TEST, "asl-alphabet-"),
        ("trainers", None, "trainers"),
        ("latest", None, "latest"),
        ("constraint", None, "constraint"),
        ("device", None, "device"),
        ("contest", None, "contest"),
    ],
)
def test_a_split_is_a_word_of_the_name(name, split, rest):
    assert split_word(name) == (split, rest)


def test_which_folders_are_splits():
    def roles(names, *asked):
        return {split: name for name, split in roles_of(names.split(), Asked(*asked)).items()}

    assert roles("train val test") == {TRAIN: "train", VALIDATION: "val", TEST: "test"}
    assert roles("seg_train seg_test seg_pred") == {TRAIN: "seg_train", TEST: "seg_test"}
    assert roles("01_train 02_val 03_test") == {TRAIN: "01_train", VALIDATION: "02_val", TEST: "03_test"}
    assert (
        roles("train_800 test_200 extra") == {TRAIN: "train_800", TEST: "test_200"}
        and roles("train17 train18 test19") == {}
    )
    assert roles("TRAIN TEST TEST_SIMPLE") == {TRAIN: "TRAIN", TEST: "TEST"}
    assert roles("Train train Test") == {TRAIN: "train", TEST: "Test"}
    assert roles("trainA trainB testA testB") == {}  # which is which is not for us to say
    assert roles("bullet_train test_tube") == {} and roles("train_station bakery") == {}
    assert roles("train val", "none", "val") == {TRAIN: "train", TEST: "val"}
    assert roles("train val test", "none", "none") == {TRAIN: "train"}
    assert roles("seg_train seg_test", "seg_test", "none") == {TRAIN: "seg_train", VALIDATION: "seg_test"}


# --- class folders ---------------------------------------------------------------------------------------------------

HONOURED = {
    "Kaggle's folder within a folder of the same name": (
        ["seg_train/seg_train/{a,b}/1.jpg", "seg_test/seg_test/{a,b}/2.jpg", "seg_pred/seg_pred/3.jpg"],
        {},
        {"train": "seg_train/seg_train/{a,b}", "test": "seg_test/seg_test/{a,b}"},
        "1 images in seg_pred/ are not used",
    ),
    "training_set and test_set": (
        ["training_set/training_set/{cats,dogs}/1.jpg", "test_set/test_set/{cats,dogs}/2.jpg"],
        {},
        {"train": "training_set/training_set/{cats,dogs}", "test": "test_set/test_set/{cats,dogs}"},
        "test_set/ is used as the test set",
    ),
    "a wrapper in each split": (
        ["train/images/{a,b}/1.jpg", "val/images/{a,b}/2.jpg"],
        {},
        {"train": "train/images/{a,b}", "val": "val/images/{a,b}"},
        "",
    ),
    "a validation folder that lacks a class": (
        ["train/{a,b}/1.jpg", "val/val/a/2.jpg"],
        {},
        {"train": "train/{a,b}", "val": "val/val/a"},
        "",
    ),
    "names with blanks": (
        ["Train set/{a,b}/1.jpg", "Test set/{a,b}/2.jpg"],
        {},
        {"train": "Train_set/{a,b}", "test": "Test_set/{a,b}"},
        "Test set/ is used as the test set",
    ),
    "Training and Testing": (
        ["Training/{glioma,none}/1.jpg", "Testing/{glioma,none}/2.jpg"],
        {},
        {"train": "Training/{glioma,none}", "test": "Testing/{glioma,none}"},
        "Testing/ is used as the test set",
    ),
    "upper case, and a second test folder": (
        ["TRAIN/{a,b}/1.jpg", "TEST/{a,b}/2.jpg", "TEST_SIMPLE/{a,b}/3.jpg"],
        {},
        {"train": "TRAIN/{a,b}", "test": "TEST/{a,b}"},
        "2 images in TEST_SIMPLE/ are not used",
    ),
    "the whole once more inside": (
        ["{train,test}/{a,b}/1.jpg", "chest/{train,test}/{a,b}/1.jpg"],
        {},
        {"train": "train/{a,b}", "test": "test/{a,b}"},
        "4 images in chest/ are not used",
    ),
    "a test folder of unlabelled images": (
        ["abc_train/abc_train/{A,B}/1.jpg", "abc_test/abc_test/A_test.jpg"],
        {},
        {"train": "abc_train/abc_train/{A,B}"},
        "1 image in abc_test, not in a class folder",
    ),
    "test1": (
        ["train/{a,b}/1.jpg", "test1/{a,b}/2.jpg"],
        {},
        {"train": "train/{a,b}"},
        "To use them as the test set, give --test_folder=test1",
    ),
    "val is the test set": (
        ["{train,val}/{a,b}/1.jpg"],
        {"test_folder": "val", "val_folder": "none"},
        {"train": "train/{a,b}", "test": "val/{a,b}"},
        "val/ is used as the test set",
    ),
    "no folder is the test set": (
        ["{train,val,test}/{a,b}/1.jpg"],
        {"test_folder": "none"},
        {"train": "train/{a,b}", "val": "val/{a,b}"},
        "2 images in test/ are not used",
    ),
    "classes beside a test folder": (
        ["{cats,dogs}/1.jpg", "test/{cats,dogs}/2.jpg"],
        {},
        {"free": "{cats,dogs}", "test": "test/{cats,dogs}"},
        "",
    ),
    "classes beside a folder of any name": (
        ["{cats,dogs}/1.jpg", "later/{cats,dogs}/2.jpg"],
        {"test_folder": "later"},
        {"free": "{cats,dogs}", "test": "later/{cats,dogs}"},
        "later/ is used as the test set",
    ),
    "splits inside of classes": (
        ["{cats,dogs}/{train,test}/1.jpg"],
        {},
        {"train": "{cats,dogs}/train", "test": "{cats,dogs}/test"},
        "CLASS/test/ is used as the test set",
    ),
    "splits inside of classes, with a name of one's own": (
        ["{cats,dogs}/{train,held_out}/1.jpg"],
        {"test_folder": "held_out"},
        {"train": "{cats,dogs}/train", "test": "{cats,dogs}/held_out"},
        "CLASS/held_out/ is used as the test set",
    ),
    "a class called train, one called test": (
        ["{car,bus,train,test}/1.jpg"],
        {},
        {"free": "{car,bus,train,test}"},
        "test/ is used as a class, not as the test set",
    ),
    "classes with these words": (
        ["{bullet_train,test_tube,station}/1.jpg"],
        {},
        {"free": "{bullet_train,test_tube,station}"},
        "",
    ),
    "all classes contain the same folders": (
        ["{color,grayscale,segmented}/{apple,grape,tomato}/1.jpg"],
        {},
        {"free": "{color,grayscale,segmented}/{apple,grape,tomato}"},
        "contain the same 3 folders (apple, grape and tomato). If these are the classes, give e.g. --data_dir=",
    ),
    "the same, inside of train": (
        ["train/{color,grey}/{apple,grape}/1.jpg", "val/{color,grey}/{apple,grape}/1.jpg"],
        {},
        {"train": "train/{color,grey}/{apple,grape}", "val": "val/{color,grey}/{apple,grape}"},
        "contain the same 2 folders (apple and grape)",
    ),
    "one folder in every class": (
        ["{n01,n02}/images/{1,2}.JPEG"],
        {},
        {"free": "{n01,n02}/images"},
        "",
    ),
    "classes of kinds": (
        ["animals/{cat,dog}/1.jpg", "vehicles/{car,bus}/1.jpg"],
        {},
        {"free": "animals/{cat,dog} vehicles/{car,bus}"},
        "folders inside them, such as animals/cat/, are parts of their class",
    ),
    "what systems and programs leave behind": (
        [
            "{a,b}/1.jpg",
            "{_cache,__pycache__,#recycle,#snapshot,@eaDir,$Recycle.Bin,RECYCLER,lost+found,__MACOSX}/1.jpg",
            "System Volume Information/1.jpg",
            "a/_Cache/2.jpg",
        ],
        {},
        {"free": "{a,b}"},
        "11 hidden",
    ),
    "outputs/ of earlier runs in this folder": (
        ["{a,b}/1.jpg", "outputs/results/default/curves.png", "outputs/logger/default.log"],
        {},
        {"free": "{a,b}"},
        "1 outputs of deep_cnn",
    ),
    "sites of which one lacks a class": (
        ["oslo/{safe,unsafe}/1.jpg", "bergen/safe/1.jpg"],
        {},
        {"free": "oslo/{safe,unsafe} bergen/safe"},
        "several of them contain folders of the same names (safe). If safe and unsafe are the classes, give e.g. --data_dir=",
    ),
    "sites that write the classes differently": (
        ["oslo/{Safe,unsafe}/1.jpg", "bergen/{safe,Unsafe}/1.jpg"],
        {},
        {"free": "oslo/{Safe,unsafe} bergen/{safe,Unsafe}"},
        "contain the same 2 folders (Safe and Unsafe). If these are the classes",
    ),
    "the same with more sites": (
        ["oslo/{a,b,c}/1.jpg", "bergen/{b,c}/1.jpg", "bodo/{a,d}/1.jpg"],
        {},
        {"free": "oslo/{a,b,c} bergen/{b,c} bodo/{a,d}"},
        "If a, b, c and d are the classes, give e.g. --data_dir=",
    ),
    "a folder that few classes share": (
        ["animals/{cat,dog,other}/1.jpg", "vehicles/{car,bus,other}/1.jpg"],
        {},
        {"free": "animals/{cat,dog,other} vehicles/{car,bus,other}"},
        "such as animals/cat/, are parts of their class",
    ),
    "faces with and without a mask": (
        ["{with_mask,without_mask}/{1,2}.jpg", "{indoors,outdoors}/{mask,no_mask}/{1,2}.jpg"],
        {},
        {"free": "{with_mask,without_mask} {indoors,outdoors}/{mask,no_mask}"},
        "",
    ),
    "names with these words that are no pairs": (["{a,b}/{street_label,1_mask,gt_2,7}.jpg"], {}, {"free": "{a,b}"}, ""),
    "a few masks": (
        ["{a,b}/{1,2,3,4,5,6,7,8}.jpg", "a/1_mask.png"],
        {},
        {"free": "{a,b}"},
        "1 of 17 images are named like the mask or label of another one (e.g. a/1_mask.png of a/1.jpg)",
    ),
    "a folder that may hold masks": (
        ["{a,b}/images/{1,2}.jpg", "a/masks/{x,y}.jpg"],
        {},
        {"free": "{a,b}/images a/masks"},
        "a/masks/: inside a class folder, so the images in there are used as images of the class",
    ),
    "a class of this name": (["{a,outputs}/1.jpg"], {}, {"free": "a outputs"}, ""),
}


def expanded(text: str) -> set[str]:
    found = set()
    for name in text.split():
        head, brace, tail = name.partition("{")
        inner, _, rest = tail.partition("}")
        found |= {other for part in inner.split(",") for other in expanded(head + part + rest)} if brace else {name}
    return found


@pytest.mark.parametrize("name", HONOURED)
def test_class_folders_are_read_as_they_are_meant(name, tmp_path):
    files, flags, expected, note = HONOURED[name]
    index = build_index(touch(tmp_path, *files), IndexOptions(**flags))
    assert splits(index) == {split: expanded(text) for split, text in expected.items()}
    assert note in notes_of(index)
    assert note or not index.notes  # nothing is said where nothing is remarkable
    assert "have no images" not in notes_of(index)
    classes = [part for part in ("a", "cats") if part in index.classes]
    for name in classes:  # the label is the class's folder, wherever it lies
        rows = np.flatnonzero(index.targets == index.classes.index(name))
        assert len(rows) and all(f"/{name}/" in f"/{index.paths[int(i)]}" for i in rows)


REFUSED = {
    "data sets instead of classes": (
        ["{cifar10,ants_bees}/{train,test}/{a,b}/1.jpg"],
        {},
        r"contains 2 data sets \(ants_bees and cifar10\).*--data_dir=.*ants_bees$",
    ),
    "a data set beside something else": (
        ["places/{train,val}/{a,b}/1.jpg", "notes/1.jpg"],
        {},
        r"places/ is a data set with its own train folder, not a class\. Did you mean --data_dir=.*places\?",
    ),
    "data sets further down": (
        ["{x,y}/data/{seg_train,seg_test}/{a,b}/1.jpg"],
        {},
        r"2 data sets \(x/data and y/data\)",
    ),
    "one folder around a data set": (
        ["archive/{train,test}/{a,b}/1.jpg"],
        {},
        r"only one class \(archive\).*Did you mean --data_dir=.*archive\?",
    ),
    "images/train": (
        ["images/{train,val}/{a,b}/1.jpg", "labels/{train,val}/{a,b}/1.txt"],
        {},
        r"Did you mean --data_dir=.*images\?",
    ),
    "folders around class folders": (
        ["download/PetImages/{Cat,Dog}/1.jpg"],
        {},
        r"only one class \(download\).*Did you mean --data_dir=.*download/PetImages\?",
    ),
    "a class that train lacks": (
        ["train/{a,b}/images/1.jpg", "val/images/1.jpg"],
        {},
        r"class 'images' has 1 images in the validation folder and none in train/.*--val_folder=none",
    ),
    "splits inside of one class": (
        ["cats/{train,test}/1.jpg", "dogs/1.jpg"],
        {},
        r"the class folder cats/ contains test/ and train/, others do not",
    ),
    "copies of the classes": (
        ["{A,B}/1.jpg", "augmented/{A,B}/1.jpg"],
        {},
        r"augmented/ contains folders that are called like other classes \(A and B\), .*--test_folder=augmented",
    ),
    "a copy of one class": (["{A,B}/1.jpg", "old/a/1.jpg"], {}, r"old/ contains folders that are called like .* \(a\)"),
    "copies further down": (["{A,B,C}/1.jpg", "old/images/{A,B,D}/1.jpg"], {}, r"old/images/ contains .* \(A and B\)"),
    "copies within train": (
        ["train/{A,B}/1.jpg", "train/extra/{A,B}/1.jpg", "test/{A,B}/1.jpg"],
        {},
        r"train/extra/ contains .* \(A and B\), .*move it out of this folder$",
    ),
    "masks beside images": (
        ["{benign,malignant}/{1,2,3}.png", "{benign,malignant}/{1,2,3}_mask.png"],
        {},
        r"6 of 12 images are named like the mask .* \(e\.g\. benign/1_mask\.png of benign/1\.png\)",
    ),
    "masks of BUSI": (
        ["{a,b}/{x (1),x (2),x (1)_mask,x (1)_mask_1,x (2)_mask}.png"],
        {},
        "6 of 10 images are named like",
    ),
    "masks of another ending": (
        ["{a,b}/{1,2,3}.jpg", "{a,b}/{1,2,3}-Ground_Truth.png"],
        {},
        "6 of 12 images are named",
    ),
    "masks with the word in front": (["train/{a,b}/{1,mask_1}.png", "test/{a,b}/2.png"], {}, "2 of 6 images are named"),
    "folders of masks": (
        ["{COVID,Normal}/{images,masks}/{1,2}.png"],
        {},
        r"COVID/masks/ has 2 files with the names of images of the same class.*move such folders out",
    ),
    "a folder of masks in one class": (
        ["A/{images,lung masks}/{1,2}.png", "B/{1,2,3}.png"],
        {},
        "A/lung masks/ has 2 files",
    ),
    "a folder of masks with names of their own": (["{A,B}/{1,2}.jpg", "A/gt/{1,2}_gt.png"], {}, "A/gt/ has 2 files"),
    "folders of masks within train": (
        ["train/{a,b}/{images,GroundTruth}/1.png"],
        {},
        "train/a/GroundTruth/ has 1 file ",
    ),
    "masks as a class": (
        ["{images,masks}/{1,2}.png"],
        {},
        r"images/ and masks/ would be the classes, but masks/ seems",
    ),
    "masks as a class, of classes": (["{images,labels}/{a,b}/1.png"], {}, "but labels/ seems to hold masks or labels"),
    "no such folder": (["{a,b}/1.jpg"], {"test_folder": "held"}, r"--test_folder=held: --data_dir has no such folder"),
    "not the classes": (
        ["{a,b}/1.jpg", "held/1.jpg"],
        {"test_folder": "held"},
        r"--test_folder=held: contains no folders with the names of the classes \(a and b\)",
    ),
    "one folder for both": (
        ["{train,val}/{a,b}/1.jpg"],
        {"test_folder": "val"},
        r"--val_folder=val: the same folder as --test_folder.*--val_folder=none",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_class_folders_are_refused_with_what_to_give(name, tmp_path):
    files, flags, match = REFUSED[name]
    with pytest.raises((DataError, ConfigError), match=match) as problem:
        build_index(touch(tmp_path, *files), IndexOptions(**flags))
    assert "\n" not in str(problem.value)


# --- a table ---------------------------------------------------------------------------------------------------------

OF_TABLES = {
    "a third folder": (
        "{train,test,extra}/{}{1,2}.jpg",
        {},
        {"train": "train", "test": "test", "free": "extra"},
        "2 images in extra/ are training images, too: the split is made by test/ and train/",
    ),
    "another test folder": (
        "{train,test,test_hard}/{}{1,2}.jpg",
        {},
        {"train": "train", "test": "test"},
        "2 images in test_hard/ are not used: the split is made by test/ and train/",
    ),
    "images/train and images/val": (
        "images/{train,val}/{}{1,2}.jpg",
        {},
        {"train": "images/train", "val": "images/val"},
        "images/val/ is used as the validation set",
    ),
    "seg_train": (
        "{seg_train/seg_train,seg_test/seg_test}/{}{1,2}.jpg",
        {},
        {"train": "seg_train/seg_train", "test": "seg_test/seg_test"},
        "seg_test/ is used as the test set",
    ),
    "a split in each city": (
        "{bern/train,bern/test,rome/train,rome/test}/{}{1,2}.jpg",
        {},
        {"train": "{bern,rome}/train", "test": "{bern,rome}/test"},
        ".../test/ is used as the test set",
    ),
    "a test folder beside cities": (
        "{bern,rome,test}/{}{1,2}.jpg",
        {},
        {"free": "{bern,rome}", "test": "test"},
        "",
    ),
    "val is the test set": (
        "{train,val}/{}{1,2}.jpg",
        {"test_folder": "val", "val_folder": "none"},
        {"train": "train", "test": "val"},
        "val/ is used as the test set",
    ),
    "no folder is the validation set": (
        "{train,val,test}/{}{1,2}.jpg",
        {"val_folder": "none"},
        {"train": "train", "test": "test"},
        "2 images in val/ are not used",
    ),
    "nor a test set": (
        "{train,test}/{}{1,2}.jpg",
        {"val_folder": "none", "test_folder": "none"},
        {"train": "train"},
        "2 images in test/ are not used",
    ),
    "kinds of places": (
        "{train_station,test_kitchen,park}/{}{1,2}.jpg",
        {},
        {"free": "{train_station,test_kitchen,park}"},
        "",
    ),
    "numbered splits": (
        "{01_train,02_val,03_test}/{}{1,2}.jpg",
        {},
        {"train": "01_train", "val": "02_val", "test": "03_test"},
        "02_val/ is used as the validation set",
    ),
    "splits with their sizes": (
        "{train_80,test_20,extra}/{}{1,2}.jpg",
        {},
        {"train": "train_80", "test": "test_20", "free": "extra"},
        "2 images in extra/ are training images, too",
    ),
    "years of which one is the test": (
        "{train17,train18,test19}/{}{1,2}.jpg",
        {"test_folder": "test19"},
        {"free": "{train17,train18}", "test": "test19"},
        "test19/ is used as the test set",
    ),
    "years that are no splits": (
        "{train17,train18,test19}/{}{1,2}.jpg",
        {"val_folder": "none", "test_folder": "none"},
        {"free": "{train17,train18,test19}"},
        "all images are split together",
    ),
    "kinds of vehicles": ("{car,train,bus}/{}{1,2}.jpg", {}, {"free": "{car,train,bus}"}, ""),
    "cities, and no test set": (
        "{bern,rome,test}/{}{1,2}.jpg",
        {"test_folder": "none"},
        {"free": "{bern,rome}"},
        "2 images in test/ are not used: another folder, or none, is the test or validation set",
    ),
    "train alone": ("train/{}{1,2}.jpg", {}, {"free": "train"}, ""),
}


def table_of(root: Path, files: str) -> Path:
    """Images with names of their own, and a table of their bare names."""
    names = []
    for folder in sorted(expanded(files.partition("/{}")[0])):
        for i in range(2):
            names.append(f"{folder.replace('/', '_')}_{i}.jpg")
            touch(root, f"{folder}/{names[-1]}")
    rows = [f"{name},{i + 0.5}" for i, name in enumerate(names)]
    (root / "t.csv").write_text("\n".join(["file,score", *rows]))
    return root / "t.csv"


@pytest.mark.parametrize("name", OF_TABLES)
def test_folders_split_the_images_of_a_table(name, tmp_path):
    files, flags, expected, note = OF_TABLES[name]
    table = table_of(tmp_path, files)
    index = build_index(tmp_path, IndexOptions(metadata=table, target=("score",), task="regression", **flags))
    assert splits(index) == {split: expanded(text) for split, text in expected.items()}
    assert note in notes_of(index) and (note or "used as" not in notes_of(index))


@pytest.mark.parametrize(
    ("folders", "flags"),
    [
        ("train17,train18,test19,extra", "--test_folder=test19"),
        ("trainimages,testimages", "--test_folder=testimages"),
        ("Trainingsdaten,Testdaten", "--test_folder=Testdaten"),
        ("north_train,south_val,south_test", "--val_folder=south_val --test_folder=south_test"),
    ],
)
def test_splits_that_cannot_be_told_are_not_mixed(folders, flags, tmp_path):
    table = table_of(tmp_path, f"{{{folders}}}/{{}}")
    with pytest.raises(DataError, match=f"look like parts of a data set, .* give e.g. {flags}, or split all images"):
        build_index(tmp_path, IndexOptions(metadata=table, target=("score",), task="regression"))


@pytest.mark.parametrize("folders", ["train,test_hard", "train17,train18,test19", "train,test"])
def test_folders_split_nothing_where_that_is_said(folders, tmp_path):
    table = table_of(tmp_path, f"{{{folders}}}/{{}}")
    options = IndexOptions(metadata=table, target=("score",), task="regression", folder_splits=False)
    index = build_index(tmp_path, options)
    assert set(splits(index)) == {"free"} and len(index) == 2 * len(folders.split(","))


def test_a_column_wins_over_folders_and_an_unknown_folder_is_refused(tmp_path):
    table = table_of(tmp_path, "{train,test}/{}")
    with pytest.raises(DataError, match=r"--test_folder=tset: .*Did you mean test\?"):
        build_index(tmp_path, IndexOptions(metadata=table, target=("score",), test_folder="tset"))
    rows = table.read_text().splitlines()
    table.write_text(
        "\n".join([rows[0] + ",part", *(row + ",train" for row in rows[1:3]), *(row + ",test" for row in rows[3:])])
    )
    index = build_index(tmp_path, IndexOptions(metadata=table, target=("score",), split_column="part"))
    assert splits(index) == {"train": {"test"}, "test": {"train"}}
    images = len(rows) - 1
    assert f"--split_column=part: {images} images are in the folder of another split" in notes_of(index)
    agreed = "\n".join([rows[0] + ",part", *(f"{row},{row.partition('_')[0]}" for row in rows[1:])])
    table.write_text(agreed)
    index = build_index(tmp_path, IndexOptions(metadata=table, target=("score",), split_column="part"))
    assert splits(index) == {"train": {"train"}, "test": {"test"}} and "another split" not in notes_of(index)


@pytest.mark.parametrize("flags", [{"split_column": "part"}, {"group": "part"}])
def test_a_repeated_row_with_another_split_or_group_is_refused(flags, tmp_path):
    touch(tmp_path, *(f"{i}.jpg" for i in range(5)))
    rows = [f"{i}.jpg,{i}.5,{('train', 'test')[i % 2]}" for i in range(5)]
    (tmp_path / "t.csv").write_text("\n".join(["file,score,part", *rows, "2.jpg,2.5,test"]))
    options = IndexOptions(metadata=tmp_path / "t.csv", target=("score",), **flags)
    with pytest.raises(DataError, match=r"2\.jpg has two rows with different values of part \(lines 4 and 7\)"):
        build_index(tmp_path, options)


# --- parts of a data set that look like classes ------------------------------------------------------------------------

PARTS = [
    ["trainA/{1,2}.jpg", "trainB/{1,2}.jpg", "testA/{1,2}.jpg", "testB/{1,2}.jpg"],
    ["cat_train/1.jpg", "cat_test/1.jpg", "dog_train/1.jpg", "dog_test/1.jpg"],
    ["train1/{a,b}/1.jpg", "train2/{a,b}/1.jpg", "test/{a,b}/1.jpg"],
    ["train_1k/{a,b}/1.jpg", "train_10k/{a,b}/1.jpg", "val/{a,b}/1.jpg", "other/{a,b}/1.jpg"],
]


@pytest.mark.parametrize("names", PARTS)
def test_parts_of_a_data_set_are_no_classes(tmp_path, names):
    with pytest.raises(
        DataError, match="look like parts of a data set, not like classes; arrange them as train/CLASS/"
    ):
        build_index(touch(tmp_path, *names))


@pytest.mark.parametrize(
    "names",
    [
        ["train_interior/1.jpg", "train_station/1.jpg"],  # of Places365
        ["train/1.jpg", "test tube/1.jpg", "car/1.jpg"],
    ],
)
def test_classes_may_have_the_word_in_their_names(tmp_path, names):
    assert len(build_index(touch(tmp_path, *names)).classes) == len(names)


def of_table(root: Path, names: list[str], **flags) -> Index:
    touch(root, *names)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    (root / "t.csv").write_text("file,score\n" + "".join(f"{name},{k / 2}\n" for k, name in enumerate(files)))
    return build_index(root, IndexOptions(metadata=root / "t.csv", target=("score",), **flags))


def test_a_table_of_several_families_of_splits_keeps_them(tmp_path):
    index = of_table(tmp_path, PARTS[0])
    assert splits(index) == {"train": {"trainA", "trainB"}, "test": {"testA", "testB"}}


def test_a_train_folder_beside_others_is_named_where_it_makes_no_split(tmp_path):
    index = of_table(tmp_path, ["images/train/{1,2,3}.jpg", "images/other/{1,2}.jpg"])
    assert set(splits(index)) == {"free"}
    assert "images/train/ has no validation or test folder beside it: all images are split together" in notes_of(index)


@pytest.mark.parametrize("folder", ["val", "valid", "validation"])
def test_a_named_split_has_all_usual_spellings(tmp_path, folder):
    touch(tmp_path, "train/{a,b}/1.jpg", f"{folder}/{{a,b}}/1.jpg")
    index = build_index(tmp_path, test_folder="val", val_folder="none")
    assert splits(index) == {"train": {"train/a", "train/b"}, "test": {f"{folder}/a", f"{folder}/b"}}


def test_the_same_folders_below_a_folder_that_wraps_them_are_a_hint(tmp_path):
    index = build_index(touch(tmp_path, "amazon/images/{mug,pen}/1.jpg", "webcam/images/{mug,pen}/1.jpg"))
    assert "contain the same 2 folders (mug and pen)" in notes_of(index)
    assert "amazon/images" in notes_of(index)


def test_folders_beside_the_images_of_a_class_are_named(tmp_path):
    index = build_index(touch(tmp_path, "{cat,dog}/1.jpg", "cat/thumbs/1.png", "dog/2.jpg"))
    assert len(index) == 4
    assert "cat/thumbs/: inside a class folder that has images itself; the images in there are used, too" in notes_of(
        index
    )


# --- a column of folders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folders", "column", "written", "problem"),
    [
        ("test", "folder", ["train"] * 2, "column folder has train in line 2, but the image found is test/0.jpg"),
        ("b", "Directory", ["b", "a"], "column Directory has a in line 3, but the image found is b/1.jpg"),
        ("site2", "sub_dir", ["C:\\site1"] * 2, "column sub_dir has C:.*site1 in line 2"),
        ("test", "folder", ["photos/test", "TEST/"], ""),
        ("b", "folder", ["first", "second"], ""),  # of a tree that has been renamed, or made flat
        ("b", "folder", ["b", "NA"], ""),
        ("test", "remark", ["train"] * 2, ""),
    ],
)
def test_a_column_of_folders_agrees_with_the_files(folders, column, written, problem, tmp_path):
    touch(tmp_path / "photos", *(f"{folders}/{i}.jpg" for i in range(2)))
    rows = [f"{folder},{i}.jpg,{i + 0.5}" for i, folder in enumerate(written)]
    (tmp_path / "t.csv").write_text("\n".join([f"{column},file,score", *rows]))
    options = IndexOptions(metadata=tmp_path / "t.csv", target=("score",), task="regression", folder_splits=False)
    if problem:
        with pytest.raises(DataError, match=problem):
            build_index(tmp_path / "photos", options)
    else:
        assert len(build_index(tmp_path / "photos", options)) == 2
