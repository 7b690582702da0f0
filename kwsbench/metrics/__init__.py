"""Metrics of keyword spotting: arrays in, frozen counts out, rates derived. No files, no tables, no global state.

The conventions, written once. N clips, truth t, prediction p, keywords K, background labels B.

Labels
    Label codes are integers: 0 to `num_keywords - 1` are the keywords, everything from there on is background.
    In a confusion matrix rows are the truth and columns the prediction.
Threshold rule
    A higher score is likelier the keyword; a clip is accepted when score >= threshold. The thresholds of a curve
    are the distinct scores, which accept every clip at the lowest of them, and +inf, which accepts none.
Rates
    accuracy = #(p=t)/N; balanced accuracy = mean recall over the labels.
    FRR (false reject rate) of keyword k = #(t=k, p!=k)/#(t=k); FAR (false accept rate) of k = #(t!=k, p=k)/#(t!=k).
    Overall FRR = #(t in K, p!=t)/#(t in K); overall FAR = #(t in B, p in K)/#(t in B); confusion rate =
    #(t in K, p in K, p!=t)/#(t in K). Macro figures are means over the keywords.
Detection
    Per keyword and over every threshold: DET points (FRR against FAR), EER (equal error rate) by linear
    interpolation between the two neighbouring points, ROC AUC with ties counted half, lowest FRR under a FAR limit.
Undefined
    A division by zero is NaN, never 0. A mean is taken over the keywords (or labels) where the figure is defined,
    and is NaN where it is for none.
Intervals
    95 % unless said otherwise: Wilson for a single proportion; the percentile interval of a bootstrap that resamples
    whole speakers for everything else, because clips of one speaker are not independent.
"""
