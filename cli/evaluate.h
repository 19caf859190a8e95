// The parts of `nightshift evaluate` (cmd_evaluate.c) beside the command itself.

#ifndef NS_CLI_EVALUATE_H
#define NS_CLI_EVALUATE_H

#include "cli/cli_internal.h"

/* ---- `result` is search_judge_json()'s -------------------------------------------------------- */

/// Gives `result` the key "surest_mistakes": up to CLI_SUREST_MAX objects with image (index in the
/// set), file (null when the set does not say), label, predicted and confidence, the surest first;
/// null where images may have several labels (evaluate_mistakes.c).
#define CLI_SUREST_MAX 10
void cli__surest_mistakes_set(const nn_model *model, const data_set *set, data_split split,
                              const search_predictions *predictions, ns_json *result);

/// Prints headline, labels, the worst confusions and the surest mistakes for people (evaluate_show.c).
ns_status cli__evaluate_print(const ns_json *result, ns_error *err);

/* ---- evaluate_csv.c: files appear whole or not at all ----------------------------------------- */

/// The confusion matrix, true labels down; with more than CLI_MATRIX_LABELS_MAX labels the cells that
/// are not zero, one a line. NS_ERR_INPUT where images may have several labels.
#define CLI_MATRIX_LABELS_MAX 4096
ns_status cli__confusion_write(const ns_json *result, const char *path, ns_error *err);

/// One line an image: index in the set, file (empty when the set does not say), split, true label,
/// predicted label, probabilities. Where there may be several labels they are separated by '|'.
/// `threshold`: search_judge_json()'s.
ns_status cli__predictions_write(const nn_model *model, const data_set *set, data_split split,
                                 const search_predictions *predictions, double threshold,
                                 const char *path, ns_error *err);

#endif
