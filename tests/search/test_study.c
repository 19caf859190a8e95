// A whole study in small: budget, kill, stop, resume, and what the store says afterwards.
//
// Each study runs in a child process, as it does under a person's hand, with a time budget; the
// sanitised build trains fewer steps in it, so nothing here depends on how good a network became.

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "search/search.h"
#include "tests/ns_test.h"

#define BUDGET_MS 90000 // just long enough for a plan with a search in it
#define STORE     "study.db"
#define SET       "demo.nsd"

static search_config config_of(const char *study, int64_t budget_ms) {
    static char set_path[NS_PATH_MAX];
    ns_error err = {0};
    assert_ok(ns_path_absolute(SET, set_path, &err), &err);
    search_config config = search_config_default();
    config.study = study;
    config.store_path = STORE;
    config.dataset_path = set_path;
    config.command = "test";
    config.budget_node_ms = budget_ms;
    config.worker_count = 2;
    config.thread_count = 2;
    return config;
}

/// Runs the study in a process group of its own; the exit code is the negated status.
static pid_t start(const char *study, int64_t budget_ms) {
    const pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        search_config config = config_of(study, budget_ms);
        config.process_start_ms = ns_clock_ms();
        ns_error err = {0};
        const ns_status status = search_run(&config, &err);
        if (status != NS_OK) {
            fprintf(stderr, "study %s: %s\n", study, err.text);
        }
        _exit(-status);
    }
    setpgid(pid, pid);
    return pid;
}

/// The status with which the study's process ended; 1 when a signal ended it.
static int wait_for(pid_t pid) {
    int wait_status = 0;
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    return WIFEXITED(wait_status) ? -WEXITSTATUS(wait_status) : 1;
}

static ns_json *status_of(const char *study) {
    ns_json *json = NULL;
    ns_error err = {0};
    assert_ok(search_status_json(STORE, study, &json, &err), &err);
    return json;
}

static int64_t trial_count(const ns_json *status, const char *state) {
    return ns_json_int(ns_json_get(status, "trials"), state, -1);
}

static void check_is_number(const ns_json *trial, const char *key) {
    if (isnan(ns_json_number(trial, key, (double)NAN))) {
        fail_msg("trial without the number \"%s\"", key);
    }
}

/// What every trial says of itself, whatever became of it.
static void check_trial(const ns_json *trial, size_t number) {
    static const char *const numbers[] = {"fidelity", "seed", "params", "flops", "node_ms"};
    assert_int_equal(ns_json_int(trial, "number", -1), (int64_t)number);
    for (size_t i = 0; i < NS_COUNT_OF(numbers); i++) {
        check_is_number(trial, numbers[i]);
    }
    assert_int_equal(strlen(ns_json_string(trial, "hash", "")), NS_SHA256_HEX_MAX - 1);
    assert_true(ns_json_count(ns_json_get(trial, "genotype")) > 10);
    assert_non_null(ns_json_get(trial, "fail_reason"));
    if (strcmp(ns_json_string(trial, "state", ""), "COMPLETE") == 0) {
        check_is_number(trial, "val_accuracy");
    }
}

static void check_is_anchor(const ns_json *genotype) {
    ns_error err = {0};
    data_set *set = NULL;
    search_space space;
    search_genotype anchor, found;
    assert_ok(data_open(SET, &set, &err), &err);
    search_space_default(data_describe(set), &space);
    data_close(set);
    search_genotype_anchor(&space, &anchor);
    assert_ok(search_genotype_from_json(&space, genotype, &found, &err), &err);
    assert_memory_equal(&anchor, &found, sizeof(anchor));
}

/// What is said of a confirmation, if there was one, is of trials that were confirmed.
static void check_confirmation(const ns_json *status, const ns_json *trials) {
    const ns_json *rivals = ns_json_get(ns_json_get(status, "confirmation"), "rivals");
    for (size_t i = 0; i < ns_json_count(rivals); i++) {
        const ns_json *rival = ns_json_at(rivals, i);
        const ns_json *numbers = ns_json_get(rival, "confirmations");
        assert_int_equal(ns_json_count(numbers), ns_json_int(rival, "seeds", -1));
        for (size_t k = 0; k < ns_json_count(numbers); k++) {
            const double number = ns_json_value_number(ns_json_at(numbers, k), -1);
            const ns_json *trial = ns_json_at(trials, (size_t)number);
            assert_string_equal(ns_json_string(trial, "purpose", ""), "confirm");
            assert_string_equal(ns_json_string(trial, "state", ""), "COMPLETE");
            assert_int_equal(ns_json_int(trial, "of_trial", -1), ns_json_int(rival, "trial", -2));
        }
    }
    print_message("%zu networks were confirmed\n", ns_json_count(rivals));
}

static ns_status add_trial(void *array, const search_trial *trial, ns_error *err) {
    ns_json *genotype = NULL;
    ns_json *json = ns_json_add(array, search_trial_json(trial));
    NS_TRY(ns_json_parse(trial->row->genotype, &genotype, err));
    ns_json_set(json, "genotype", genotype);
    return NS_OK;
}

/// Numbers go up from 0 without a gap, the anchor is the first, and no time is booked that the study
/// did not have.
static void check_trials(const char *study, int64_t node_ms_used) {
    ns_json *json = NULL;
    ns_error err = {0};
    int64_t node_ms = 0;
    json = ns_json_array_new();
    assert_ok(search_trials_each(STORE, study, false, add_trial, json, &err), &err);
    const ns_json *trials = json;
    for (size_t i = 0; i < ns_json_count(trials); i++) {
        const ns_json *trial = ns_json_at(trials, i);
        check_trial(trial, i);
        node_ms += ns_json_int(trial, "node_ms", 0);
    }
    ns_json *status = status_of(study);
    check_confirmation(status, trials);
    ns_json_free(status);
    if (ns_json_count(trials) > 0) {
        check_is_anchor(ns_json_get(ns_json_at(trials, 0), "genotype"));
    }
    assert_in_range(node_ms, 0, node_ms_used);
    ns_json_free(json);
}

/// The phases share out the whole budget, and what they used is no more than was charged.
static void check_plan(const ns_json *status, int64_t budget_ms) {
    const ns_json *phases = ns_json_get(ns_json_get(status, "plan"), "phases");
    int64_t planned_ms = 0;
    int64_t used_ms = 0;
    assert_int_equal(ns_json_count(phases), 6);
    for (size_t i = 0; i < ns_json_count(phases); i++) {
        const ns_json *phase = ns_json_get(phases, ns_json_key_at(phases, i));
        planned_ms += ns_json_int(phase, "planned_node_ms", -1);
        used_ms += ns_json_int(phase, "used_node_ms", -1);
    }
    assert_int_equal(planned_ms, budget_ms);
    assert_int_equal(used_ms, ns_json_int(status, "node_ms_used", -1));
}

static void check_complete(const char *study, int64_t budget_ms) {
    ns_json *status = status_of(study);
    assert_string_equal(ns_json_string(status, "state", ""), "COMPLETE");
    assert_string_equal(ns_json_string(status, "stop_reason", ""), "budget");
    assert_int_equal(trial_count(status, "RUNNING"), 0);
    assert_in_range(ns_json_int(status, "node_ms_used", -1), 1, budget_ms);
    check_plan(status, budget_ms);
    const double accuracy = ns_json_number(status, "test_accuracy", (double)NAN);
    assert_true(accuracy >= 0 && accuracy <= 1);
    check_trials(study, ns_json_int(status, "node_ms_used", 0));

    ns_error err = {0};
    nn_model *model = NULL;
    assert_ok(nn_model_load(ns_json_string(status, "model", ""), &model, &err), &err);
    assert_string_equal(nn_model_describe(model)->weights_sha256,
                        ns_json_string(status, "weights_sha256", ""));
    assert_true(ns_file_exists(ns_json_string(status, "onnx", "")));
    nn_model_free(model);
    ns_json_free(status);
}

/// Waits until `done` holds of the study's status, or fails the test after a minute.
static void wait_until(const char *study, bool (*done)(const ns_json *status)) {
    for (int i = 0; i < 600; i++) {
        ns_json *status = NULL;
        ns_error err = {0};
        const bool is_done =
            search_status_json(STORE, study, &status, &err) == NS_OK && done(status);
        ns_json_free(status);
        if (is_done) {
            return;
        }
        ns_sleep_ms(100);
    }
    fail_msg("study %s never came to the awaited state", study);
}

static bool has_finished_trial(const ns_json *status) {
    return trial_count(status, "COMPLETE") > 0 && trial_count(status, "RUNNING") > 0;
}

static bool is_running(const ns_json *status) {
    return strcmp(ns_json_string(status, "state", ""), "RUNNING") == 0;
}

static bool has_running_trial(const ns_json *status) {
    return is_running(status) && trial_count(status, "RUNNING") > 0;
}

/// It is decided what is retrained, so training is about to begin.
static bool is_retraining(const ns_json *status) {
    return strcmp(ns_json_string(status, "phase", ""), "retrain") == 0 &&
           ns_json_count(ns_json_get(status, "retrain")) > 0;
}

/// The first child of a process; 0 while it has none.
static pid_t first_child(pid_t pid) {
    char path[64];
    int child = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *children = fopen(path, "r");
    assert_non_null(children);
    if (fscanf(children, "%d", &child) != 1) { // NOLINT(cert-err34-c): the kernel's own
        child = 0;
    }
    (void)fclose(children);
    return child;
}

/// Kills the first child of the supervisor `pid`, as a crash would. A trial may be known as running
/// before the supervisor has a child again.
static void kill_a_worker(pid_t pid) {
    pid_t child = first_child(pid);
    for (int waited_ms = 0; child == 0 && waited_ms < 10000; waited_ms += 10) {
        ns_sleep_ms(10);
        child = first_child(pid);
    }
    assert_true(child > 0); // 0 and less would be whole groups of processes
    assert_int_equal(kill(child, SIGKILL), 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    ns_error err = {0};
    if (system("rm -rf " STORE "* killed salvaged tiny held cats") != 0) { // of an earlier run
        return -1;
    }
    return data_demo_write(SET, &err) == NS_OK ? 0 : -1;
}

/// Kills supervisor and workers at once; returns what is then COMPLETE, and checks that nothing the
/// study used is forgotten.
static int64_t kill_all(pid_t pid, const char *study, int64_t *used_ms) {
    kill(-pid, SIGKILL);
    assert_int_equal(wait_for(pid), 1);
    ns_json *status = status_of(study);
    const int64_t complete_count = trial_count(status, "COMPLETE");
    const int64_t now_used_ms = ns_json_int(status, "node_ms_used", 0);
    assert_string_equal(ns_json_string(status, "state", ""), "INTERRUPTED");
    assert_true(now_used_ms >= *used_ms);
    *used_ms = now_used_ms;
    ns_json_free(status);
    return complete_count;
}

/// Training time in the checkpoint of the study's retraining.
static int64_t checkpoint_ms(const char *path) {
    nn_progress progress;
    ns_error err = {0};
    assert_ok(nn_checkpoint_progress(path, &progress, &err), &err);
    return progress.used_ms;
}

static void test_survives_kill_and_stop(void **state) {
    (void)state;
    int64_t used_ms = 0;
    pid_t pid = start("killed", BUDGET_MS);
    wait_until("killed", has_finished_trial);
    const int64_t complete_count = kill_all(pid, "killed", &used_ms);
    assert_in_range(complete_count, 1, 100);

    pid = start("killed", BUDGET_MS);
    wait_until("killed", has_running_trial);
    kill_a_worker(pid); // the search goes on without noticing
    wait_until("killed", is_retraining);
    ns_sleep_ms(3000);
    kill(-pid, SIGTERM); // as a service manager does: to all of them
    assert_int_equal(wait_for(pid), NS_ERR_STOPPED);
    ns_json *status = status_of("killed");
    assert_string_equal(ns_json_string(status, "state", ""), "INTERRUPTED");
    assert_string_equal(ns_json_string(status, "phase", ""), "retrain");
    assert_int_equal(trial_count(status, "RUNNING"), 0);
    assert_true(trial_count(status, "COMPLETE") >= complete_count);
    assert_true(ns_json_int(status, "node_ms_used", 0) > used_ms);
    used_ms = ns_json_int(status, "node_ms_used", 0);
    ns_json_free(status);
    const int64_t trained_ms = checkpoint_ms("killed/retrain.ckpt");

    pid = start("killed", BUDGET_MS);
    wait_until("killed", is_running);
    ns_sleep_ms(1000);
    (void)kill_all(pid, "killed", &used_ms);
    assert_true(checkpoint_ms("killed/retrain.ckpt") >= trained_ms);

    assert_int_equal(wait_for(start("killed", BUDGET_MS)), NS_OK);
    check_complete("killed", BUDGET_MS);
}

/// Uses up what is left of the study's budget, as a run that was killed at its end would have.
static void use_budget_up(const char *name) {
    ns_error err = {0};
    results_store *store = NULL;
    results_study study;
    int reaped_count = 0;
    int64_t run_id = 0;
    const results_run_spec spec = {.command = "", .host = "", .version = "", .platform = ""};
    assert_ok(results_open(STORE, RESULTS_WRITE, &store, &err), &err);
    assert_ok(results_study_get(store, name, &study, &err), &err);
    assert_ok(results_reap(store, study.id, 0, 9, &reaped_count, &err), &err);
    results_study_clear(&study);
    assert_ok(results_study_get(store, name, &study, &err), &err);
    assert_ok(results_run_begin(store, study.id, &spec, &run_id, &err), &err);
    const int64_t left_ms = study.budget_node_ms - study.charged_node_ms;
    assert_ok(results_run_end(store, run_id, left_ms, &err), &err);
    results_study_clear(&study);
    results_close(store);
}

static void test_best_trial_is_kept_when_the_budget_is_gone(void **state) {
    (void)state;
    int64_t used_ms = 0;
    const pid_t pid = start("salvaged", BUDGET_MS);
    wait_until("salvaged", has_finished_trial);
    (void)kill_all(pid, "salvaged", &used_ms);
    use_budget_up("salvaged");
    assert_int_equal(wait_for(start("salvaged", BUDGET_MS)), NS_OK);
    ns_json *status = status_of("salvaged");
    assert_string_equal(ns_json_string(status, "state", ""), "COMPLETE");
    assert_string_equal(ns_json_string(status, "model_origin", ""), "trial");
    assert_true(isnan(ns_json_number(status, "test_accuracy", (double)NAN))); // was never read
    assert_int_equal(ns_json_int(status, "node_ms_used", 0), BUDGET_MS);
    assert_true(ns_file_exists(ns_json_string(status, "model", "")));
    assert_true(ns_file_exists(ns_json_string(status, "onnx", "")));
    ns_json_free(status);
}

/// What is said of mirror averaging is what the model does. Where there was time for it, it has found
/// that out itself, as it has not seen the validation images.
static void check_mirroring(const ns_json *status) {
    const ns_json *plan = ns_json_get(status, "retrain");
    nn_model *model = NULL;
    ns_error err = {0};
    assert_false(ns_json_bool(plan, "with_validation", true));
    assert_non_null(ns_json_get(plan, "mirror_by_model"));
    assert_int_equal(ns_json_get(plan, "mirror_average") != NULL,
                     ns_json_bool(plan, "mirror_by_model", false));
    assert_ok(nn_model_load(ns_json_string(status, "model", ""), &model, &err), &err);
    assert_int_equal(nn_model_describe(model)->mirror_average,
                     ns_json_bool(plan, "mirror_average", false));
    nn_model_free(model);
}

static void test_tiny_budget_trains_the_anchor(void **state) {
    (void)state;
    const int64_t start_ms = ns_clock_ms();
    assert_int_equal(wait_for(start("tiny", 15000)), NS_OK);
    const int64_t took_ms = ns_clock_ms() - start_ms;
    check_complete("tiny", 15000);
    ns_json *status = status_of("tiny");
    const int64_t used_ms = ns_json_int(status, "node_ms_used", 0);
    assert_in_range(used_ms, took_ms - 1000, took_ms + 1000); // the ledger agrees with the clock
    assert_int_equal(ns_json_int(status, "winner_trial", 0), -1);
    check_mirroring(status);
    ns_json_free(status);
    // A finished study has nothing more to spend.
    assert_int_equal(wait_for(start("tiny", 15000)), NS_OK);
    status = status_of("tiny");
    assert_int_equal(ns_json_int(status, "node_ms_used", 0), used_ms);
    ns_json_free(status);
}

static void test_refuses_a_second_supervisor(void **state) {
    (void)state;
    const pid_t pid = start("held", 15000);
    wait_until("held", is_running);
    search_config config = config_of("held", 15000);
    ns_error err = {0};
    assert_int_equal(search_run(&config, &err), NS_ERR_BUSY);
    assert_non_null(strstr(err.text, "held"));
    kill(pid, SIGTERM);
    assert_int_equal(wait_for(pid), NS_ERR_STOPPED);

    config.seed = 7; // stopped, it still refuses other settings, by name
    config.sampler = "random";
    assert_int_equal(search_run(&config, &err), NS_ERR_USAGE);
    assert_non_null(strstr(err.text, "seed"));
    assert_non_null(strstr(err.text, "sampler"));
    assert_null(strstr(err.text, "price"));
}

static void test_refuses_folders_of_others(void **state) {
    (void)state;
    ns_error err = {0};
    assert_ok(ns_dir_make("cats", &err), &err); // a folder of images, say
    const search_config config = config_of("cats", 15000);
    assert_status(search_run(&config, &err), NS_ERR_USAGE);
    assert_non_null(strstr(err.text, "cats"));
    assert_false(ns_file_exists("cats/lock"));
    search_config elsewhere = config_of("tiny", 15000); // a study of STORE has this folder
    elsewhere.store_path = "other.db";
    assert_status(search_run(&elsewhere, &err), NS_ERR_USAGE);
    assert_true(ns_file_exists("tiny/model.nsm"));
}

static void test_refuses_what_cannot_work(void **state) {
    (void)state;
    ns_error err = {0};
    search_config config = config_of("none", 100);
    assert_int_equal(search_run(&config, &err), NS_ERR_BUDGET);
    config = config_of("none", 60000);
    config.dataset_path = "no-such-set.nsd";
    assert_int_equal(search_run(&config, &err), NS_ERR_NOT_FOUND);
    config = config_of("none", 60000);
    config.sampler = "oracle";
    assert_int_equal(search_run(&config, &err), NS_ERR_USAGE);
    ns_json *json = NULL;
    assert_int_equal(search_status_json(STORE, "none", &json, &err), NS_ERR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survives_kill_and_stop),
        cmocka_unit_test(test_best_trial_is_kept_when_the_budget_is_gone),
        cmocka_unit_test(test_tiny_budget_trains_the_anchor),
        cmocka_unit_test(test_refuses_a_second_supervisor),
        cmocka_unit_test(test_refuses_folders_of_others),
        cmocka_unit_test(test_refuses_what_cannot_work),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
