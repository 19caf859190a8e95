// Spaces as data: a JSON file that restricts or extends the default space.
//
//   {"name": "small",
//    "base": "default",
//    "genes": {"stage1_width": [16, 32, 80],
//              "stage2_block": ["plain", "residual"],
//              "rate_at_256": {"low": 0.05, "high": 1.6, "count": 6, "log": true},
//              "cutout_percent": {"low": 0, "high": 40, "step": 10}},
//    "anchor": {"stage1_width": 80}}
//
// All four are optional. A gene that is not named keeps its default choices. One that is named has
// exactly the choices that it is given, in a list or by a distribution: `count` numbers from `low`
// to `high`, equally far apart or, with `log`, in equal ratios, each rounded to the nearest legal
// one; or every `step`. Legal is what search/gene_rules.c says, which is more than the default
// offers. The anchor takes the choices nearest to the usual one, where the file does not name them.
//
// What is printed is complete, and is read as the same space again. That is what a study keeps: it
// goes on in its own space, whatever the file or the defaults have become.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/space.h"

#define FILE_BYTES_MAX (1 << 20)
#define PLACE_BYTES    64

/* ---- keys ------------------------------------------------------------------------------------ */

/// Every key of `json` is one of `keys` (NULL behind the last) and stands there once.
static ns_status check_keys(const ns_json *json, const char *const *keys, const char *where,
                            ns_error *err) {
    for (size_t i = 0; i < ns_json_count(json); i++) {
        const char *key = ns_json_key_at(json, i);
        size_t known = 0;
        while (keys[known] != NULL && strcmp(keys[known], key) != 0) {
            known++;
        }
        if (keys[known] == NULL) {
            return ns_fail(err, NS_ERR_INPUT, "%sunknown key \"%.64s\"", where, key);
        }
        if (ns_json_get(json, key) != ns_json_at(json, i)) {
            return ns_fail(err, NS_ERR_INPUT, "%skey \"%s\" is given twice", where, key);
        }
    }
    return NS_OK;
}

/* ---- the choices of one gene ----------------------------------------------------------------- */

/// A gene on its way out of the file; `to` is taken over only when all is well.
typedef struct gene_reader {
    const search__rule *rule;
    search_gene *to;
    ns_error *err;
} gene_reader;

static ns_status refuse_value(const gene_reader *in, const ns_json *value) {
    char *text = NULL;
    char legal[256];
    search__rule_describe(in->rule, legal, sizeof legal);
    NS_TRY(ns_json_print(value, false, &text, in->err));
    const ns_status status = ns_fail(
        in->err, NS_ERR_INPUT, "genes: %s cannot be %.64s: %s is legal", in->to->name, text, legal);
    free(text);
    return status;
}

static ns_status add_value(gene_reader *in, const ns_json *value) {
    search_gene *gene = in->to;
    const double number = ns_json_value_number(value, NAN);
    const char *word = search__rule_has_word(in->rule, ns_json_value_string(value, ""));
    if (word == NULL && !search__rule_has_number(in->rule, number)) {
        return refuse_value(in, value);
    }
    if (gene->choice_count == SEARCH_CHOICES_MAX) {
        return ns_fail(in->err, NS_ERR_INPUT, "genes: %s has more than %d choices", gene->name,
                       SEARCH_CHOICES_MAX);
    }
    gene->text[gene->choice_count] = word;
    gene->value[gene->choice_count++] = word != NULL ? 0 : number;
    return NS_OK;
}

/// Numbers ascend, and nothing stands there twice.
static ns_status settle_values(const gene_reader *in) {
    search_gene *gene = in->to;
    if (gene->choice_count == 0) {
        return ns_fail(in->err, NS_ERR_INPUT, "genes: %s has no choice", gene->name);
    }
    if (gene->text[0] == NULL) {
        ns_sort_doubles(gene->value, (size_t)gene->choice_count);
    }
    for (int i = 0; i < gene->choice_count; i++) {
        for (int k = 0; k < i; k++) { // words are entries of one table
            if (gene->text[i] == gene->text[k] && gene->value[i] == gene->value[k]) {
                return ns_fail(in->err, NS_ERR_INPUT, "genes: %s has a choice twice", gene->name);
            }
        }
    }
    return NS_OK;
}

static ns_status read_values(gene_reader *in, const ns_json *list) {
    for (size_t i = 0; i < ns_json_count(list); i++) {
        NS_TRY(add_value(in, ns_json_at(list, i)));
    }
    return settle_values(in);
}

static double nearest_legal(const search__rule *rule, double value) {
    if (rule->step > 0) {
        return rule->low + rint((value - rule->low) / rule->step) * rule->step;
    }
    char text[32]; // 0.1, not 0.10000000000000001
    (void)snprintf(text, sizeof text, "%.6g", value);
    return strtod(text, NULL);
}

/// A run of numbers as the file has it; NaN where a member is missing or no number.
typedef struct run {
    double low, high, count, step;
    bool log;
} run;

/// How many numbers there are; NaN or no whole number where that makes no sense.
static double run_count(const run *r) {
    return isnan(r->step) ? r->count : 1 + floor((r->high - r->low) / r->step + 1e-9);
}

static ns_status check_run(const gene_reader *in, const ns_json *json, const run *r) {
    const char *name = in->to->name;
    if (isnan(r->low) || isnan(r->high) || !(r->low < r->high)) {
        return ns_fail(in->err, NS_ERR_INPUT,
                       "genes: %s needs \"values\", or \"low\" below \"high\"", name);
    }
    if (!search__rule_has_number(in->rule, r->low)) {
        return refuse_value(in, ns_json_get(json, "low"));
    }
    if (!search__rule_has_number(in->rule, r->high)) {
        return refuse_value(in, ns_json_get(json, "high"));
    }
    if (isnan(r->count) == isnan(r->step) || (r->log && isnan(r->count))) {
        return ns_fail(in->err, NS_ERR_INPUT, "genes: %s needs \"count\"%s", name,
                       r->log ? " with \"log\"" : " or \"step\", not both");
    }
    if (r->log && r->low <= 0) {
        return ns_fail(in->err, NS_ERR_INPUT, "genes: %s needs \"low\" above 0 with \"log\"", name);
    }
    const double count = run_count(r);
    if (!(count >= 2 && count <= SEARCH_CHOICES_MAX && count == rint(count))) {
        return ns_fail(in->err, NS_ERR_INPUT, "genes: %s needs 2 to %d choices", name,
                       SEARCH_CHOICES_MAX);
    }
    return NS_OK;
}

static ns_status read_run(gene_reader *in, const ns_json *json, bool is_log) {
    const run r = {
        .low = ns_json_number(json, "low", NAN),
        .high = ns_json_number(json, "high", NAN),
        .count = ns_json_number(json, "count", NAN),
        .step = ns_json_number(json, "step", NAN),
        .log = is_log,
    };
    NS_TRY(check_run(in, json, &r));
    search_gene *gene = in->to;
    const int count = (int)run_count(&r);
    for (int i = 0; i < count; i++) {
        const double part = (double)i / (count - 1);
        const double value = !isnan(r.step) ? r.low + i * r.step
                             : r.log        ? r.low * pow(r.high / r.low, part)
                                            : r.low + (r.high - r.low) * part;
        const double legal = nearest_legal(in->rule, value);
        if (gene->choice_count == 0 || legal > gene->value[gene->choice_count - 1]) {
            gene->text[gene->choice_count] = NULL;
            gene->value[gene->choice_count++] = legal;
        }
    }
    return NS_OK;
}

static ns_status read_distribution(gene_reader *in, const ns_json *json) {
    static const char *const VALUES[] = {"values", "log", NULL};
    static const char *const RUN[] = {"low", "high", "count", "step", "log", NULL};
    const ns_json *values = ns_json_get(json, "values");
    const bool words = in->rule->legal_words != NULL;
    char where[PLACE_BYTES];
    (void)snprintf(where, sizeof where, "genes: %.31s: ", in->to->name);
    NS_TRY(check_keys(json, values != NULL ? VALUES : RUN, where, in->err));
    const bool is_log = ns_json_bool(json, "log", false);
    if (ns_json_get(json, "log") != NULL) {
        if (words || is_log != ns_json_bool(json, "log", true)) {
            return ns_fail(in->err, NS_ERR_INPUT, "%s\"log\" is true or false, of numbers", where);
        }
        in->to->scale = is_log ? SEARCH_SCALE_LOG : SEARCH_SCALE_LINEAR;
    }
    if (values != NULL ? !ns_json_is_array(values) : words) {
        return ns_fail(in->err, NS_ERR_INPUT, "%sa list of values is needed", where);
    }
    return values != NULL ? read_values(in, values) : read_run(in, json, is_log);
}

static ns_status read_gene(search_gene *gene, const ns_json *json, ns_error *err) {
    search_gene read = *gene;
    gene_reader in = {.rule = search__rule_of(gene->name), .to = &read, .err = err};
    read.choice_count = 0;
    if (ns_json_is_array(json)) {
        NS_TRY(read_values(&in, json));
    } else if (ns_json_is_object(json)) {
        NS_TRY(read_distribution(&in, json));
    } else {
        return ns_fail(err, NS_ERR_INPUT, "genes: %s needs a list of values, or a distribution",
                       gene->name);
    }
    *gene = read;
    return NS_OK;
}

/* ---- the space ------------------------------------------------------------------------------- */

static ns_status read_name(const ns_json *json, search_space *out, ns_error *err) {
    const char *name = ns_json_string(json, "name", "");
    if (ns_json_get(json, "name") != NULL &&
        (name[0] == '\0' || strlen(name) >= sizeof out->name)) {
        return ns_fail(err, NS_ERR_INPUT, "\"name\" must be a text of 1 to %zu bytes",
                       sizeof out->name - 1);
    }
    (void)snprintf(out->name, sizeof out->name, "%s", name[0] != '\0' ? name : "unnamed");
    if (ns_json_get(json, "base") != NULL &&
        strcmp(ns_json_string(json, "base", ""), "default") != 0) {
        return ns_fail(err, NS_ERR_INPUT, "\"base\" must be \"default\"");
    }
    return NS_OK;
}

static ns_status read_genes(const ns_json *genes, search_space *out, ns_error *err) {
    if (genes == NULL) {
        return NS_OK;
    }
    NS_TRY(search__gene_keys_check(out, genes, "genes", err));
    for (size_t i = 0; i < ns_json_count(genes); i++) {
        const int gene = search__gene_find(out, ns_json_key_at(genes, i));
        NS_TRY(read_gene(&out->gene[gene], ns_json_at(genes, i), err));
    }
    return NS_OK;
}

static ns_status read_anchor(const ns_json *anchor, search_space *out, ns_error *err) {
    search__anchor_make(out, &out->anchor);
    if (anchor == NULL) {
        return NS_OK;
    }
    NS_TRY(search__gene_keys_check(out, anchor, "anchor", err));
    for (size_t i = 0; i < ns_json_count(anchor); i++) {
        const char *key = ns_json_key_at(anchor, i);
        const int gene = search__gene_find(out, key);
        const int choice = search__choice_find(&out->gene[gene], ns_json_at(anchor, i));
        if (choice < 0) {
            return ns_fail(err, NS_ERR_INPUT, "anchor: %s is none of the gene's choices", key);
        }
        out->anchor.choice[gene] = (uint8_t)choice;
    }
    return NS_OK;
}

/// A network of these choices may be too large for any machine.
static ns_status check_anchor(const search_space *space, ns_error *err) {
    search_genotype anchor;
    search_genotype_anchor(space, &anchor);
    nn_graph *graph = malloc(sizeof *graph);
    const ns_status status = graph == NULL ? ns_fail(err, NS_ERR_MEMORY, "cannot hold a network")
                                           : search__lower(space, &anchor, graph, err);
    free(graph);
    if (status != NS_OK) {
        ns_error_prefix(err, "its anchor is no legal network");
    }
    return status;
}

ns_status search_space_from_json(const data_info *info, const ns_json *json, search_space *out,
                                 ns_error *err) {
    static const char *const KEYS[] = {"name", "base", "genes", "anchor", NULL};
    search_space_default(info, out);
    if (!ns_json_is_object(json)) {
        return ns_fail(err, NS_ERR_INPUT, "not a JSON object with \"genes\"");
    }
    NS_TRY(check_keys(json, KEYS, "", err));
    NS_TRY(read_name(json, out, err));
    NS_TRY(read_genes(ns_json_get(json, "genes"), out, err));
    NS_TRY(read_anchor(ns_json_get(json, "anchor"), out, err));
    return check_anchor(out, err);
}

/// Takes out a gene and the anchor's choice of it.
static void drop_gene(search_space *space, int gene) {
    const size_t behind = (size_t)(space->gene_count - gene - 1);
    memmove(&space->gene[gene], &space->gene[gene + 1], behind * sizeof space->gene[0]);
    memmove(&space->anchor.choice[gene], &space->anchor.choice[gene + 1], behind);
    space->anchor.choice[--space->gene_count] = 0;
}

ns_status search__space_of_study(const data_info *info, const ns_json *json, search_space *out,
                                 ns_error *err) {
    NS_TRY(search_space_from_json(info, json, out, err));
    const ns_json *genes = ns_json_get(json, "genes");
    for (int gene = out->gene_count - 1; gene >= 0; gene--) {
        if (ns_json_get(genes, out->gene[gene].name) == NULL) {
            drop_gene(out, gene);
        }
    }
    return NS_OK;
}

ns_status search_space_load(const char *path, const data_info *info, search_space *out,
                            ns_error *err) {
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    ns_json *json = NULL;
    if (path == NULL) {
        search_space_default(info, out);
        return NS_OK;
    }
    NS_TRY(ns_file_read(path, FILE_BYTES_MAX, &text, &size_bytes, err));
    ns_status status = ns_json_parse((const char *)text, &json, err);
    if (status == NS_OK) {
        const ns_json *member = ns_json_get(json, "space"); // as the command space prints it
        status = search_space_from_json(info, member != NULL ? member : json, out, err);
    }
    if (status != NS_OK) {
        ns_error_prefix(err, "cannot use the space %s", path);
    }
    ns_json_free(json);
    free(text);
    return status;
}

/* ---- printing -------------------------------------------------------------------------------- */

static ns_json *values_to_json(const search_gene *gene) {
    ns_json *list = ns_json_array_new();
    for (int i = 0; i < gene->choice_count; i++) {
        if (gene->text[i] != NULL) {
            ns_json_add_string(list, gene->text[i]);
        } else {
            ns_json_add_number(list, gene->value[i]);
        }
    }
    return list;
}

/// A list, or with its scale where that is not the default.
static ns_json *gene_to_json(const search_gene *gene) {
    if (gene->scale == search__rule_of(gene->name)->scale) {
        return values_to_json(gene);
    }
    ns_json *json = ns_json_object_new();
    ns_json_set(json, "values", values_to_json(gene));
    ns_json_set_bool(json, "log", gene->scale == SEARCH_SCALE_LOG);
    return json;
}

ns_json *search_space_to_json(const search_space *space) {
    ns_json *json = ns_json_object_new();
    ns_json_set_string(json, "name", space->name);
    ns_json_set_string(json, "base", "default");
    ns_json *genes = ns_json_set(json, "genes", ns_json_object_new());
    for (int i = 0; i < space->gene_count; i++) {
        ns_json_set(genes, space->gene[i].name, gene_to_json(&space->gene[i]));
    }
    ns_json_set(json, "anchor", search_genotype_to_json(space, &space->anchor));
    return json;
}
