"""Your settings. Edit this file, then run: python train.py

(Or in Python: from train import train_model; import config; train_model(config).)

What is commented out, or None, is chosen for you. custom-bert info RUN shows each choice and its reason.
custom-bert train --help explains all settings, as docs/reference/configuration.md in the repository does.
"""


def get_config():
    return {
        "preset": "custom",  # custom: fast, pre-norm | modern: rope, GeGLU | legacy: BERT as it was
        "out": None,  # run directory; None: runs/ and a name made from settings and data
        "seed": 0,
        "task": "classification",  # one label a text | multi_label: any number, separated by tabs
        "data": {
            "train_texts": "data/train_dataset.txt",  # one text a line
            "train_labels": "data/train_labels.txt",  # line i: the label of text i
            "val_texts": "data/val_dataset.txt",  # without these two files, 10 % of the lines are set aside
            "val_labels": "data/val_labels.txt",
            # "table": "reviews.csv",  # in place of the files; "text_column", "label_column" name its columns
            # "max_length": 256,  # tokens that are kept of a text
        },
        "model": {
            # "init_from": "scratch",  # or a pretrained encoder; None: minilm if it is here, for English
            # "size": "mini",  # tiny 128x2 | mini 256x4 | small 512x4 | medium 512x8 | base 768x12
            # "hidden_dropout": 0.1,
            # --- some of the improvements over legacy BERT; each can be switched off ---
            # "hidden_act": "gelu",  # gelu | gelu_tanh | relu
            # "norm": "pre",  # pre | post
        },
        "batch": {
            # "plan": "uniform_length",  # uniform_length | packed | padded
            # "token_budget": 2048,  # tokens of a batch
        },
        "optim": {
            "epochs": None,
            "lr": None,
            "metric": None,  # what chooses the best weights: accuracy | macro_f1 for unbalanced labels
            "class_weights": "none",  # none | balanced: every class weighs the same
            # "patience": 500,  # stop after this many steps without a better metric
            # "max_minutes": 10,
        },
        "runtime": {
            # "attention": "dense",  # naive | matmul | dense (SDPA, flash attention) | grouped | varlen
            # "precision": "bf16",  # bf16 | fp16 (mixed precision) | fp32
            # "compile": True,  # fuse kernels, which a C++ compiler builds once
        },
    }
