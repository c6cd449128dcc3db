/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/file.h"
#include "format/io/npy.h"

static size_t build(uint8_t *to, const char *header, const void *body, size_t bytes)
{
    const size_t n = strlen(header);
    memcpy(to, "\x93NUMPY\x01\x00", 8);
    to[8] = (uint8_t)n;
    to[9] = (uint8_t)(n >> 8);
    memcpy(to + 10, header, n);
    if (bytes)
        memcpy(to + 10 + n, body, bytes);
    return 10 + n + bytes;
}

static kymo_status parse(struct kymo_matrix *m, const char *header, const void *body,
                         size_t bytes, struct kymo_err *err)
{
    uint8_t file[512];
    kymo_matrix_init(m, 1 << 20);
    return kymo_npy_parse(m, kymo_bytes_view(file, build(file, header, body, bytes), 0),
                          "x.npy", err);
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    const double x[] = {1, -2.5, 3e300, 0, 5e-324, 6};
    char path[] = "/tmp/kymo-npy-XXXXXX";
    const int fd = mkstemp(path);
    assert_int_equal(kymo_npy_write(fd, 3, 2, x, path, NULL), KYMO_OK);
    struct kymo_buf file = {0};
    assert_int_equal(kymo_file_read(&file, path, 1 << 20, NULL), KYMO_OK);
    assert_int_equal(file.n, 128 + sizeof(x));
    struct kymo_matrix m;
    kymo_matrix_init(&m, 1 << 20);
    assert_int_equal(kymo_npy_parse(&m, kymo_bytes_view(file.p, file.n, 0), path, NULL),
                     KYMO_OK);
    assert_int_equal(m.n, 3);
    assert_int_equal(m.d, 2);
    assert_memory_equal(m.X, x, sizeof(x));
    assert_string_equal(m.column[1].name, "x1");
    kymo_matrix_release(&m);
    kymo_buf_release(&file);
    close(fd);
    unlink(path);
}

static void float32_stays_float32(void **state)
{
    (void)state;
    const float x[] = {0.1f, 2};
    struct kymo_matrix m;
    assert_int_equal(parse(&m, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n",
                           x, sizeof(x), NULL),
                     KYMO_OK);
    assert_true(m.is_f32 && !m.X && m.X32[0] == 0.1f && m.X32[1] == 2);
    assert_true(kymo_matrix_at(&m, 0, 0) == (double)0.1f);
    kymo_matrix_release(&m);
}

static void a_vector_is_one_column(void **state)
{
    (void)state;
    const double x[] = {1, 2, 3};
    struct kymo_matrix m;
    assert_int_equal(parse(&m, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n", x,
                           sizeof(x), NULL),
                     KYMO_OK);
    assert_int_equal(m.n, 3);
    assert_int_equal(m.d, 1);
    kymo_matrix_release(&m);
}

static void refuse(const char *header, size_t bytes, kymo_status want, const char *word)
{
    static const double body[4] = {1, 2, 3, 4};
    struct kymo_matrix m;
    struct kymo_err err = {0};
    assert_int_equal(parse(&m, header, body, bytes, &err), want);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not say '%s'", err.text, word);
    assert_int_equal(m.n, 0);
    kymo_matrix_release(&m);
}

static void other_types_orders_and_shapes_are_refused_by_name(void **state)
{
    (void)state;
    refuse("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2), }\n", 32, KYMO_EINPUT,
           "<i8");
    refuse("{'descr': '>f8', 'fortran_order': False, 'shape': (2, 2), }\n", 32, KYMO_EINPUT,
           ">f8");
    refuse("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }\n", 32, KYMO_EINPUT,
           "Fortran");
    refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1, 2), }\n", 32, KYMO_EINPUT,
           "two dim");
    refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", 8, KYMO_EINPUT,
           "single number");
    refuse("{'descr': '<f8', 'fortran_order': False, }\n", 32, KYMO_ECORRUPT, "lacks");
    refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 0), }\n", 0, KYMO_EINPUT,
           "0 columns");
}

static void a_shape_that_its_bytes_cannot_pay_allocates_nothing(void **state)
{
    (void)state;
    refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }\n", 32, KYMO_ECORRUPT,
           "do not make");
    refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }\n", 32, KYMO_ECORRUPT,
           "do not make");
    refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n",
           32, KYMO_ECORRUPT, "do not make");
    refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999, 2), }\n",
           32, KYMO_ECORRUPT, "damaged");
}

static void infinity_is_refused_by_column_and_row(void **state)
{
    (void)state;
    const double x[] = {1, 2, 3, 1e308 * 10};
    struct kymo_matrix m;
    struct kymo_err err = {0};
    assert_int_equal(parse(&m, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n",
                           x, sizeof(x), &err),
                     KYMO_EINPUT);
    assert_non_null(strstr(err.text, "'x1' of row 2"));
    kymo_matrix_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(float32_stays_float32),
        cmocka_unit_test(a_vector_is_one_column),
        cmocka_unit_test(other_types_orders_and_shapes_are_refused_by_name),
        cmocka_unit_test(a_shape_that_its_bytes_cannot_pay_allocates_nothing),
        cmocka_unit_test(infinity_is_refused_by_column_and_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
