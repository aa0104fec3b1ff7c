package io.gantry.node.bench;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;

/** An OCI bundle with the host's nginx, which holds 64 MiB and whose own hook connects it to {@code br0} on whatever host creates it. */
final class NginxBundle {
  /** Of what is asked for. */
  static final int FILE_BYTES = 4096;

  static final String FILE = "/4k";

  /**
   * A worker makes as many connections and events when it starts, and writes to all of them: some 440 bytes for each ({@code
   * ngx_connection_t} and two {@code ngx_event_t}), 64 MiB
   * in all.
   */
  private static final int WORKER_CONNECTIONS = 150_000;

  private static final String CONFIGURATION =
      """
      daemon off; user root root; worker_processes 1; pid /data/nginx.pid; error_log /data/error.log warn;
      events { worker_connections %d; }
      http {
        access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 1h;
        client_body_temp_path /data/temp; proxy_temp_path /data/temp; fastcgi_temp_path /data/temp; uwsgi_temp_path /data/temp; scgi_temp_path /data/temp;
        server { listen 80 backlog=512; root /data/files; }
      }
      """;

  private static final String HOOK =
      """
      #!/bin/sh
      set -e
      pid=$(sed 's/.*"pid": *\\([0-9]*\\).*/\\1/')
      in="nsenter --net=/proc/$pid/ns/net ip"
      $in link set lo up
      $in link add eth0 address 02:00:00:00:00:05 type veth peer name vh$pid netns $$
      ip link set vh$pid master br0 up
      $in addr add %s/24 dev eth0
      $in link set eth0 up
      """;

  private static final List<String> CAPABILITIES = List.of("CAP_NET_BIND_SERVICE", "CAP_SETUID", "CAP_SETGID", "CAP_KILL");

  private NginxBundle() {}

  /**
   * Makes it.
   *
   * @param directory does not exist
   * @param mark variable and value in the environment of its processes
   * @return the directory
   */
  static Path make(Path directory, String mark) throws IOException {
    Path root = directory.resolve("rootfs");
    for (String place : List.of("usr", "etc", "proc", "dev", "sys", "tmp", "data/files")) {
      Files.createDirectories(root.resolve(place));
    }
    for (String place : List.of("bin", "sbin", "lib", "lib64")) {
      if (Files.isSymbolicLink(Path.of("/", place))) {
        Files.createSymbolicLink(root.resolve(place), Path.of("usr", place));
      } else {
        throw new CommandException(ExitCode.FAILED, "/" + place + " is no link to /usr/" + place + " on this host, as it is on Debian 12 and later.");
      }
    }
    byte[] content = new byte[FILE_BYTES];
    Arrays.fill(content, (byte) 'x');
    Files.write(root.resolve("data/files" + FILE), content);
    Files.writeString(root.resolve("data/nginx.conf"), CONFIGURATION.formatted(WORKER_CONNECTIONS));
    Path hook = Files.writeString(directory.resolve("connect"), HOOK.formatted(BenchNetwork.CONTAINER));
    Files.setPosixFilePermissions(hook, PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.writeString(directory.resolve("config.json"), config(hook, mark).toString());
    return directory;
  }

  private static ObjectNode config(Path hook, String mark) {
    ObjectNode config = Json.object().put("ociVersion", "1.0.2").put("hostname", "bench");
    ObjectNode process = config.putObject("process").put("terminal", false).put("cwd", "/");
    process.putObject("user").put("uid", 0).put("gid", 0);
    words(process.putArray("args"), "/usr/sbin/nginx", "-p", "/data", "-c", "/data/nginx.conf");
    words(process.putArray("env"), "PATH=/usr/sbin:/usr/bin", mark);
    ObjectNode capabilities = process.putObject("capabilities");
    for (String set : List.of("bounding", "effective", "permitted")) {
      words(capabilities.putArray(set), CAPABILITIES.toArray(String[]::new));
    }
    config.putObject("root").put("path", "rootfs").put("readonly", false);
    ArrayNode mounts = config.putArray("mounts");
    mount(mounts, "/proc", "proc", "proc");
    mount(mounts, "/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k");
    mount(mounts, "/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k");
    mount(mounts, "/usr", "bind", "/usr", "bind", "ro");
    mount(mounts, "/etc", "bind", "/etc", "bind", "ro");
    config.putObject("hooks").putArray("createRuntime").addObject().put("path", hook.toString());
    ArrayNode namespaces = config.putObject("linux").putArray("namespaces");
    List.of("pid", "ipc", "uts", "mount", "network").forEach(type -> namespaces.addObject().put("type", type));
    return config;
  }

  private static void mount(ArrayNode mounts, String destination, String type, String source, String... options) {
    words(mounts.addObject().put("destination", destination).put("type", type).put("source", source).putArray("options"), options);
  }

  private static void words(ArrayNode array, String... words) {
    for (String word : words) {
      array.add(word);
    }
  }
}
