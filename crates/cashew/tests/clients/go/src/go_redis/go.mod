module go_redis

go 1.22
