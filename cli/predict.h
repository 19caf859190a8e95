// The parts of `nightshift predict` (cmd_predict.c) beside the command itself.

#ifndef NS_CLI_PREDICT_H
#define NS_CLI_PREDICT_H

#include "cli/cli_internal.h"

/* ---- predict_files.c ------------------------------------------------------------------------- */

/// The image files of operands, one after the other: a file as it is, a folder's PNG, JPEG and WebP
/// files and those of its folders in the order of their names. Nothing is read ahead of them.
typedef struct cli_files cli_files;
/// Borrows `operands` (count, then NULL). NS_ERR_MEMORY.
ns_status cli__files_open(char **operands, cli_files **out, ns_error *err);
/// The next path, malloced; NULL after the last. NS_ERR_NOT_FOUND and NS_ERR_IO are of one operand or
/// folder: the next call goes on after it.
ns_status cli__files_next(cli_files *files, char **path, ns_error *err);
void cli__files_close(cli_files *files);
/// Asks the system to have the file in memory soon.
void cli__file_will_need(const char *path);

/* ---- predict_show.c -------------------------------------------------------------------------- */

/// Whose field names the answers have.
typedef enum cli_prediction_format {
    CLI_PREDICTION_TEXT, // lines for people
    CLI_PREDICTION_GOOGLE,
    CLI_PREDICTION_REKOGNITION,
    CLI_PREDICTION_AZURE,
} cli_prediction_format;
ns_status cli__parse_prediction_format(const char *text, void *value, ns_error *err);

/// Which labels of an image are shown, and how.
typedef struct cli_prediction_rule {
    cli_prediction_format format;
    double min_confidence; // NaN: not given
    int top_count;         // 0: not given
} cli_prediction_rule;

/// Prints answers on stdout as they come; borrows `info`.
typedef struct cli_prediction_printer cli_prediction_printer;
ns_status cli__predictions_begin(const nn_model_info *info, const cli_prediction_rule *rule,
                                 cli_prediction_printer **out, ns_error *err);
/// `row`: probabilities (label_count).
ns_status cli__predictions_add(cli_prediction_printer *printer, const char *file, const float *row,
                               ns_error *err);
/// Ends the output and frees `printer` (may be NULL).
void cli__predictions_end(cli_prediction_printer *printer);

#endif
