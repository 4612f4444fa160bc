/* A redis module of a few commands that nobody knows, for tests of `unknown_commands: learn`. It needs no header: redis
   hands out its functions by name (RedisModule_GetApi). */
#include <stddef.h>

typedef struct Ctx Ctx;
typedef struct Str Str;
typedef struct Reply Reply;
typedef struct Cmd Cmd;
typedef int (*Fn)(Ctx *, Str **, int);

static int (*get_api)(const char *, void *);
static int (*create)(Ctx *, const char *, Fn, const char *, int, int, int);
static int (*set_attributes)(Ctx *, const char *, int, int);
static Cmd *(*get_command)(Ctx *, const char *);
static int (*create_part)(Cmd *, const char *, Fn, const char *, int, int, int);
static Reply *(*call)(Ctx *, const char *, const char *, ...);
static int (*pass)(Ctx *, Reply *);
static int (*arity)(Ctx *);
static int (*integer)(Ctx *, long long);

static int one(Ctx *ctx, Str **argv, int argc, const char *command) {
    if (argc != 2) return arity(ctx);
    return pass(ctx, call(ctx, command, "0s", argv[1]));
}

static int get(Ctx *ctx, Str **argv, int argc) { return one(ctx, argv, argc, "GET"); }

static int box_get(Ctx *ctx, Str **argv, int argc) { return get(ctx, argv + 1, argc - 1); }

static int set(Ctx *ctx, Str **argv, int argc) {
    if (argc != 3) return arity(ctx);
    return pass(ctx, call(ctx, "SET", "!ss", argv[1], argv[2]));
}

static int mget(Ctx *ctx, Str **argv, int argc) {
    if (argc < 2) return arity(ctx);
    return pass(ctx, call(ctx, "MGET", "v", argv + 1, (size_t)(argc - 1)));
}

static int count(Ctx *ctx, Str **argv, int argc) { (void)argv; return integer(ctx, argc); }

int RedisModule_OnLoad(Ctx *ctx) {
    get_api = ((int (**)(const char *, void *))ctx)[0];
    get_api("RedisModule_SetModuleAttribs", &set_attributes);
    get_api("RedisModule_CreateCommand", &create);
    get_api("RedisModule_GetCommand", &get_command);
    get_api("RedisModule_CreateSubcommand", &create_part);
    get_api("RedisModule_Call", &call);
    get_api("RedisModule_ReplyWithCallReply", &pass);
    get_api("RedisModule_WrongArity", &arity);
    get_api("RedisModule_ReplyWithLongLong", &integer);
    set_attributes(ctx, "nut", 1, 1);
    create(ctx, "nut.get", get, "readonly fast", 1, 1, 1);
    create(ctx, "nut.set", set, "write deny-oom", 1, 1, 1);
    create(ctx, "nut.mget", mget, "readonly", 1, -1, 1);
    create(ctx, "nut.keyless", count, "readonly", 0, 0, 0);
    create(ctx, "nut.alone", count, "readonly deny-script", 1, 1, 1);
    create(ctx, "nut.admin", count, "admin", 1, 1, 1);
    create(ctx, "nut.movable", count, "readonly getkeys-api", 1, 1, 1);
    create(ctx, "nut.off", get, "readonly", 1, 1, 1);
    create(ctx, "nut.box", NULL, "readonly", 0, 0, 0);
    return create_part(get_command(ctx, "nut.box"), "get", box_get, "readonly", 2, 2, 1);
}
