"""What is learnt: targets, loss, metrics and their intervals, and how an answer is written down.

across_folds      intervals and differences over the folds of a cross-validation
area_means        means of scores over areas, with intervals
base              interface of a task
calibration       temperature, thresholds of labels, calibration error
ceiling           noise ceiling: the largest R2 and Pearson that uncertain scores allow
classification    one class per image
confidence        formulas of confidence intervals
conformal         regions of a given coverage: prediction intervals and sets of classes
coverage          what is said of such regions
curves            rising curves from one scale of scores to another
differences       two sides on the same test images, with intervals
dyadic            intervals of votes, which share images
intervals         which metric has which interval; metrics per group
left_out          metrics without each image or group, for the jackknife
linear            linear predictors on a few numbers of each image
make              which task the data and flags are
metrics           metrics of classes and labels
multilabel        several labels per image
named             shared by classification and multilabel
ordinal           ratings in whole numbers as ordered levels
pair_differences  pair accuracies of two sides on the same votes
pair_losses       Bradley-Terry and Davidson
pair_result       what test.json says of votes
pair_scores       votes with predictions
pairwise          which of two images is preferred
rater_groups      how well scores fit each subgroup of raters
recalibration     the line between two scales
regression        one or several scores per image
samples           selections of samples, and what all metrics share
score_metrics     metrics of scores
spatial           errors of neighbours; metrics within groups
suspects          labels that may be wrong, from out-of-fold predictions
transforms        scales on which scores are learnt
vote_ceiling      how well votes can be predicted at all
"""
