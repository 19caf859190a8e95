// nightshift space: what can be searched, so that one can write a space file.

#include <stdlib.h>
#include <string.h>

#include "cli/cli_internal.h"

typedef struct space_words {
    const char *set_path, *space_path; // NULL: not given
    bool json;
} space_words;

/// The choices of a gene: "16, 32, 48"; the anchor's in brackets.
static void list_choices(const search_gene *gene, int anchor, char *out, size_t size_bytes) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < gene->choice_count && used < size_bytes; i++) {
        char choice[40];
        if (gene->text[i] != NULL) {
            (void)snprintf(choice, sizeof choice, "%s", gene->text[i]);
        } else {
            (void)snprintf(choice, sizeof choice, "%g", gene->value[i]);
        }
        used += (size_t)snprintf(out + used, size_bytes - used, i == anchor ? "%s[%s]" : "%s%s",
                                 i > 0 ? ", " : "", choice);
    }
}

static const char *scale_name(search_scale scale) {
    return scale == SEARCH_SCALE_LOG ? "log" : scale == SEARCH_SCALE_LINEAR ? "linear" : "-";
}

static ns_status print_table(const search_space *space, ns_error *err) {
    search_genotype anchor;
    search_genotype_anchor(space, &anchor);
    (void)printf("%s: %.3g points for %dx%d images of %s; [the anchor's choice]\n\n", space->name,
                 search_space_point_count(space), space->image.width, space->image.height,
                 space->image.channels == 1 ? "grey" : "colour");
    cli_table *table = cli__table_new("lll");
    cli__table_cell(table, "gene");
    cli__table_cell(table, "scale");
    cli__table_cell(table, "choices");
    for (int i = 0; i < space->gene_count; i++) {
        char choices[512];
        list_choices(&space->gene[i], anchor.choice[i], choices, sizeof choices);
        cli__table_cell(table, "%s", space->gene[i].name);
        cli__table_cell(table, "%s", scale_name(space->gene[i].scale));
        cli__table_cell(table, "%s", choices);
    }
    return cli__table_print(table, err);
}

static ns_status print_json(const search_space *space, ns_error *err) {
    ns_json *json = ns_json_object_new();
    ns_json *image = ns_json_set(json, "image", ns_json_object_new());
    ns_json_set_int(image, "channels", space->image.channels);
    ns_json_set_int(image, "height", space->image.height);
    ns_json_set_int(image, "width", space->image.width);
    ns_json_set_number(json, "point_count", search_space_point_count(space));
    ns_json_set(json, "space", search_space_to_json(space));
    return cli__print_json(json, err);
}

static ns_status show(const space_words *words, ns_error *err) {
    ns_status status = NS_OK;
    data_set *set = NULL;
    data_info info = {.channels = 3, .height = 32, .width = 32, .label_count = 10};
    info.split_count[DATA_TRAIN] = 50000;
    search_space *space = calloc(1, sizeof *space); // too big for the stack
    if (space == NULL) {
        return ns_fail(err, NS_ERR_MEMORY, "cannot hold a space");
    }
    if (words->set_path != NULL) {
        NS_TRY_OUT(data_open(words->set_path, &set, err));
    }
    const data_info *like = set != NULL ? data_describe(set) : &info;
    NS_TRY_OUT(search_space_load(words->space_path, like, space, err));
    status = words->json ? print_json(space, err) : print_table(space, err);
out:
    data_close(set);
    free(space);
    return status;
}

int cli__space(int argc, char **argv) {
    space_words words = {0};
    const cli_option rows[] = {
        {"space", 0, "FILE.json", "This space instead of the default one", cli__parse_text,
         &words.space_path},
        CLI_OPTION_JSON(&words.json),
        {0},
    };
    const cli_syntax syntax = {
        .operands = "[SET.nsd]",
        .doc = "Shows the genes of a search space and their choices, for images like those of the "
               "set (default: 32x32 colour). What --json prints under \"space\" is a file for "
               "--space: leave out the genes whose choices are to stay the default.",
        .options = rows,
        .operand_count_max = 1,
    };
    cli_operands operands;
    if (!cli__parse(&syntax, argc, argv, &operands)) {
        return CLI_USAGE;
    }
    words.set_path = operands.count > 0 ? operands.text[0] : NULL;
    ns_error err = {0};
    const ns_status status = show(&words, &err);
    return cli__exit_code(status, &err);
}
