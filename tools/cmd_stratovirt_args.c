/* rouse stratovirt-args: prints the rouse command line that equals a StratoVirt one. */
#include "tools/cli.h"
#include "tools/stratovirt_args.h"

#include <string.h>

/* As a shell takes it for one word. */
static void print_word(const char *word)
{
        static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";

        if (word[0] && strspn(word, safe) == strlen(word)) {
                printf("%s", word);
                return;
        }
        putchar('\'');
        for (const char *p = word; *p; p++)
                if (*p == '\'')
                        printf("'\\''");
                else
                        putchar(*p);
        putchar('\'');
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct words words = {0};
        struct err err = {0};
        int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
        (void)t0_ns;

        if (first == argc)
                return cli_usage("stratovirt-args", "the StratoVirt command line is missing");
        if (stratovirt_translate(argc - first, argv + first, cli_message, NULL, &words, &err) < 0)
                return cli_fail(&err);
        for (size_t i = 0; i < words.nr; i++) {
                if (i > 0)
                        putchar(' ');
                print_word(words.v[i]);
        }
        putchar('\n');
        words_free(&words);
        return EXIT_OK;
}

const struct verb verb_stratovirt_args = {
        .name = "stratovirt-args",
        .summary = "print the rouse command line that equals a StratoVirt one",
        .help = "usage: rouse stratovirt-args -- STRATOVIRT COMMAND LINE\n\n"
                "Prints, for a shell, the 'rouse run' or (with -incoming file:DIR) 'rouse restore' that equals the command line of\n"
                "a StratoVirt microVM. What is dropped and changes anything is told on standard error; a word that has no equal\n"
                "is named, with exit status 2.\n\n"
                "example: rouse stratovirt-args -- stratovirt -machine microvm -kernel vmlinux -append console=ttyS0 \\\n"
                "           -drive file=root.img,id=r,readonly=on -device virtio-blk-device,drive=r,id=d -serial stdio\n",
        .run = run,
};
