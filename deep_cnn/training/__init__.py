"""The run: from the first image to the test result.

api              Python API: train, predict, load_model
calibrate       temperature and calibration errors in best.pt
checkpointing    when to save, when to stop
compute          what `auto` comes to: precision, pieces, compiling
ddp              gradients summed over ranks
epoch_log        console line and tables of an epoch
frozen_features  cached features of a frozen backbone
loop             one epoch of optimizer steps
mixup            mixup and CutMix
nan_guard        stop at a loss that is NaN or infinite
ood_reference    training features for `predict`, in best.pt
optim/           Optimizers and the course of the learning rate
outputs          metrics.csv, test.json, predictions, figures
profiling        --profile: where the time went
records          config.json, splits.csv, the report, a result shown again
resume           continue, show again, or start a new run
run              a run's folders, log, name and status
score_scale      the scale of scores from votes, in best.pt
setup            flags, device, data, network before the first step
state            everything that one more step depends on
trainer          a run on one screen: begin here
"""
