// Locks between processes: exclusion, release, death of the holder, and no inheritance by fork.

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/ns_test.h"

#define LOCK_PATH "study.lock"

// What ns_lock_acquire says in a process of its own.
static ns_status acquire_elsewhere(void) {
    const pid_t child = fork();
    if (child == 0) {
        ns_lock *lock = NULL;
        _exit(-(int)ns_lock_acquire(LOCK_PATH, &lock, NULL));
    }
    int wait_status = 0;
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFEXITED(wait_status));
    return (ns_status)-WEXITSTATUS(wait_status);
}

// Whether another process finds the lock held.
static bool held_elsewhere(void) {
    const pid_t child = fork();
    if (child == 0) {
        _exit(ns_lock_held(LOCK_PATH) ? 1 : 0);
    }
    int wait_status = 0;
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    return WEXITSTATUS(wait_status) == 1;
}

static void test_exclusion_and_release(void **state) {
    (void)state;
    ns_error err = {0};
    ns_lock *lock = NULL;
    assert_ok(ns_lock_acquire(LOCK_PATH, &lock, &err), &err);
    assert_status(acquire_elsewhere(), NS_ERR_BUSY);
    assert_true(held_elsewhere());
    ns_lock_release(lock);
    assert_false(held_elsewhere());
    assert_status(acquire_elsewhere(), NS_OK);
    ns_lock_release(NULL);
}

// A holder that forks a child and is then killed: the child must not keep the lock.
static void test_killed_holder_with_a_living_child(void **state) {
    (void)state;
    int ready[2];
    int hold[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(hold), 0);
    const pid_t holder = fork();
    if (holder == 0) {
        ns_lock *lock = NULL;
        char word = ns_lock_acquire(LOCK_PATH, &lock, NULL) == NS_OK ? 'y' : 'n';
        if (fork() == 0) {
            (void)close(hold[1]);
            (void)!read(hold[0], &word, 1); // until the test closes its end
            _exit(0);
        }
        (void)!write(ready[1], &word, 1);
        (void)pause();
        _exit(0);
    }
    char word = 0;
    assert_int_equal(read(ready[0], &word, 1), 1);
    assert_int_equal(word, 'y');
    assert_status(acquire_elsewhere(), NS_ERR_BUSY);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_status(acquire_elsewhere(), NS_OK);
    (void)close(hold[1]);
    (void)close(hold[0]);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void test_child_may_release_its_copy(void **state) {
    (void)state;
    ns_error err = {0};
    ns_lock *lock = NULL;
    assert_ok(ns_lock_acquire(LOCK_PATH, &lock, &err), &err);
    const pid_t child = fork();
    if (child == 0) {
        ns_lock_release(lock);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_status(acquire_elsewhere(), NS_ERR_BUSY);
    ns_lock_release(lock);
}

static void test_no_such_folder(void **state) {
    (void)state;
    ns_error err = {0};
    ns_lock *lock = NULL;
    assert_status(ns_lock_acquire("no/such/folder/x.lock", &lock, &err), NS_ERR_IO);
    assert_non_null(strstr(err.text, "no/such/folder/x.lock"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclusion_and_release),
        cmocka_unit_test(test_killed_holder_with_a_living_child),
        cmocka_unit_test(test_child_may_release_its_copy),
        cmocka_unit_test(test_no_such_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
