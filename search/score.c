// The score: the one figure by which networks are compared, and what it is of each image.
//
// Where an image has one label, it is accuracy. Where it may have any number, it is the mean over
// images of the Jaccard index of the labels said, those with a probability of at least 1/2, and the
// true ones: labels that are both, over labels that are either (Godbole & Sarawagi 2004,
// "Discriminative Methods for Multi-labeled Classification", who call it accuracy too). Why that one:
//
//   - Of a single label said of images with a single label it is accuracy, so all that the search
//     knows of errors between 0 and 1 holds.
//   - It is a mean over images, so networks can be compared image by image (confirm.c). Average
//     precision and F1 of all decisions together are not; "all labels right" is, but says nothing of
//     labels nearly right, and of many labels is nearly always wrong.
//   - It counts what is said in vain. The share of decisions that are right does not: where labels
//     are rare, nothing said of any image scores 97 %.
//
// The price: where labels are rare a network that is hardly trained says nothing and scores 0, and
// frequent labels weigh more than rare ones.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/search_internal.h"

#define SCORE_LEVELS 255 // of an image's score in a byte

const char *search_score_name(bool multi_label) {
    return multi_label ? "jaccard" : "accuracy";
}

const char *search_common_score_name(const ns_json *studies) {
    const char *name = NULL;
    for (const ns_json *at = ns_json_first(studies); at != NULL; at = ns_json_next(at)) {
        const char *own = ns_json_string(at, "score_name", search_score_name(false));
        if (name != NULL && strcmp(own, name) != 0) {
            return NULL;
        }
        name = own;
    }
    return name != NULL ? name : search_score_name(false);
}

/// Of one image.
static double score_at(const search_predictions *p, size_t image) {
    const size_t first = image * (size_t)p->label_count;
    if (p->labels != NULL) {
        return results_argmax(p->probabilities + first, p->label_count) == p->labels[image];
    }
    return data_agreement(p->probabilities + first, p->truth + first, p->label_count);
}

double search_score(const search_predictions *p) {
    double sum = 0;
    for (size_t i = 0; i < p->count; i++) {
        sum += score_at(p, i);
    }
    return p->count > 0 ? sum / (double)p->count : (double)NAN;
}

results_interval search__score_interval(const search_predictions *p) {
    const double z = 1.959964; // 95 % of a normal distribution
    double mean = 0;
    double squares = 0; // of the distances to the mean (Welford 1962)
    for (size_t i = 0; i < p->count; i++) {
        const double off = score_at(p, i) - mean;
        mean += off / (double)(i + 1);
        squares += off * (score_at(p, i) - mean);
    }
    if (p->count < 2) {
        return (results_interval){(double)NAN, (double)NAN};
    }
    const double error = sqrt(squares / (double)(p->count - 1) / (double)p->count);
    return (results_interval){fmax(mean - z * error, 0), fmin(mean + z * error, 1)};
}

double search__loss(const search_predictions *p) {
    const results_answers answers = search_answers(p);
    return p->labels != NULL
               ? results_log_loss(p->probabilities, p->labels, p->count, p->label_count)
               : results_binary_loss(&answers);
}

ns_status search__image_scores(const search_predictions *p, uint8_t **out, size_t *bit_count,
                               ns_error *err) {
    const bool in_bytes = p->labels == NULL;
    uint8_t *scores = calloc(in_bytes ? p->count + 1 : p->count / 8 + 1, 1);
    if (scores == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold what a network got right");
    }
    for (size_t i = 0; i < p->count; i++) {
        const double score = score_at(p, i);
        if (in_bytes) {
            scores[i] = (uint8_t)lround(score * SCORE_LEVELS);
        } else if (score > 0) {
            scores[i / 8] = (uint8_t)(scores[i / 8] | 1U << (i % 8));
        }
    }
    *out = scores;
    *bit_count = in_bytes ? 8 * p->count : p->count;
    return NS_OK;
}

ns_status search__scores_text(const search_predictions *p, char **out, ns_error *err) {
    double *scores = malloc((p->count + 1) * sizeof(*scores));
    if (scores == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "no memory for the scores of %zu images", p->count);
    }
    for (size_t i = 0; i < p->count; i++) {
        scores[i] = score_at(p, i);
    }
    const ns_status status = results_scores_text(scores, p->count, out, err);
    free(scores);
    return status;
}

double search__image_score(const uint8_t *scores, bool in_bytes, size_t image) {
    return in_bytes ? (double)scores[image] / SCORE_LEVELS
                    : (double)(scores[image / 8] >> (image % 8) & 1);
}
