package io.gantry.checkpoint.host;

import io.gantry.checkpoint.HostTrait;
import io.gantry.checkpoint.HostTrait.Fit;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.state.SecurityLabels;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * This host's traits, read each time since a host can be set otherwise while it runs; what {@code runc --version} and {@code crun --version} say is
 * asked once. Sysctls: Documentation/admin-guide/sysctl and {@code man 5 proc_sys}. Any thread.
 */
public final class HostTraits {
  private static final Path SYSCTLS = Path.of("/proc/sys");
  private static final Duration VERSION_MAX = Duration.ofSeconds(5);
  private static final int VERSION_BYTES_MAX = 4096;

  private List<HostTrait> runtimes = List.of();

  /** All of them, in the order in which people want to read them. */
  public List<HostTrait> read() {
    var traits = new ArrayList<HostTrait>();
    processor(traits);
    system(traits);
    memory(traits);
    limits(traits);
    network(traits);
    traits.addAll(runtimes());
    return List.copyOf(traits);
  }

  /** Not before they are needed: many engines are made that never compare a host. */
  private synchronized List<HostTrait> runtimes() {
    if (runtimes.isEmpty()) {
      runtimes = List.of(runtime("runc"), runtime("crun"));
    }
    return runtimes;
  }

  private static void processor(List<HostTrait> traits) {
    var lines = text(Path.of("/proc/cpuinfo")).lines().takeWhile(line -> !line.isBlank()).toList();
    var model =
        List.of("vendor_id", "cpu family", "model", "stepping").stream()
            .map(key -> lines.stream().filter(line -> line.split("\t*:")[0].equals(key)).findFirst().map(line -> line.replaceFirst(".*: *", "")).orElse("?"))
            .collect(Collectors.joining(" "));
    traits.add(new HostTrait(CPU_MODEL, model, Fit.EQUAL, "CPUID names another processor, and code that was chosen for the old one may run slower"));
    traits.add(
        new HostTrait(
            "clock source",
            text(Path.of("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
            Fit.EQUAL,
            "reading the time may cost a system call where it did not, or the other way round"));
  }

  /** Its name; {@link HostPolicy.Cpu} decides about it. */
  static final String CPU_MODEL = "CPU model";

  /** Its name; a difference of it forbids moves whatever the policy refuses, as one of labels within a host does. */
  static final String SECURITY_LABEL = "security label";

  private static void system(List<HostTrait> traits) {
    traits.add(new HostTrait("control groups", controlGroups(), Fit.EQUAL, "limits and figures are found in other files"));
    traits.add(
        new HostTrait(
            "security modules",
            text(Path.of("/sys/kernel/security/lsm")).replace(',', ' '),
            Fit.INCLUDES,
            "what a security module forbids on the source is allowed on the destination"));
    traits.add(new HostTrait(SECURITY_LABEL, SecurityLabels.ofThisHost().own(), Fit.EQUAL, "copies run under the label of the agent that makes them"));
    traits.add(new HostTrait("AppArmor profiles", profiles(), Fit.INCLUDES, "a program that is started under such a profile is started without"));
    traits.add(
        new HostTrait(
            "seccomp actions", sysctl("kernel.seccomp.actions_avail"), Fit.INCLUDES, "filters with such an action cannot be installed"));
    atLeast(traits, "user.max_user_namespaces", "programs that make user namespaces (browsers, build tools) may fail to");
    traits.add(
        new HostTrait(
            "kernel.unprivileged_userns_clone",
            sysctl("kernel.unprivileged_userns_clone"),
            Fit.EQUAL,
            "who may make user namespaces differs"));
    traits.add(new HostTrait("kernel.core_pattern", sysctl("kernel.core_pattern"), Fit.EQUAL, "core dumps go elsewhere"));
  }

  private static void memory(List<HostTrait> traits) {
    traits.add(
        new HostTrait(
            "vm.overcommit_memory", sysctl("vm.overcommit_memory"), Fit.EQUAL, "allocations succeed or fail that did not before (0 and 1 promise, 2 counts)"));
    traits.add(new HostTrait("vm.overcommit_ratio", sysctl("vm.overcommit_ratio"), Fit.EQUAL, "with vm.overcommit_memory=2 another amount can be allocated"));
    atLeast(traits, "vm.max_map_count", "programs with many mappings (databases, JVMs) fail to make more");
    traits.add(
        new HostTrait(
            "transparent huge pages",
            text(Path.of("/sys/kernel/mm/transparent_hugepage/enabled")),
            Fit.EQUAL,
            "memory is given in pages of another size, which costs or saves memory and time"));
    atLeast(traits, "kernel.shmmax", "larger segments of shared memory cannot be made");
    atLeast(traits, "kernel.shmall", "less shared memory can be had in all");
  }

  private static void limits(List<HostTrait> traits) {
    atLeast(traits, "kernel.pid_max", "process ids above it cannot be made");
    atLeast(traits, "kernel.threads-max", "fewer threads can be made in all");
    atLeast(traits, "fs.nr_open", "descriptors above it cannot be made, and limits not be raised above it");
    atLeast(traits, "fs.file-max", "fewer files can be open in all");
    atLeast(traits, "fs.aio-max-nr", "fewer asynchronous reads and writes can be prepared");
    atLeast(traits, "fs.pipe-max-size", "pipes cannot be made as large");
    atLeast(traits, "fs.inotify.max_user_instances", "fewer inotify instances can be made");
    atLeast(traits, "fs.inotify.max_user_watches", "fewer files can be watched");
    atLeast(traits, "fs.mqueue.queues_max", "fewer POSIX message queues can be made");
  }

  private static void network(List<HostTrait> traits) {
    atLeast(traits, "net.core.rmem_max", "receive buffers cannot be made as large");
    atLeast(traits, "net.core.wmem_max", "send buffers cannot be made as large");
    atLeast(traits, "net.core.somaxconn", "fewer connections can wait to be accepted");
    traits.add(
        new HostTrait(
            "TCP congestion control",
            sysctl("net.ipv4.tcp_available_congestion_control"),
            Fit.INCLUDES,
            "sockets that ask for it cannot be given it"));
    boolean tracked = Files.isDirectory(SYSCTLS.resolve("net/netfilter")) && Files.exists(SYSCTLS.resolve("net/netfilter/nf_conntrack_max"));
    traits.add(
        new HostTrait("connection tracking", tracked ? "on" : "", Fit.INCLUDES, "rules that ask for the state of a connection do not match"));
  }

  /** The runtime's own first line, such as {@code runc version 1.1.15}; empty where it is not installed. */
  private static HostTrait runtime(String name) {
    return new HostTrait(name, version(name), Fit.EQUAL, "containers of this runtime may be set up in another way, or cannot be at all");
  }

  private static String version(String program) {
    boolean there =
        Arrays.stream(System.getenv().getOrDefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").split(":"))
            .anyMatch(directory -> !directory.isEmpty() && Files.isExecutable(Path.of(directory, program)));
    if (!there) {
      return "";
    }
    try {
      var process = new ProcessBuilder(program, "--version").redirectErrorStream(true).redirectInput(Path.of("/dev/null").toFile()).start();
      try {
        if (!process.waitFor(VERSION_MAX.toMillis(), TimeUnit.MILLISECONDS)) {
          return "(no answer)";
        }
        var said = new String(process.getInputStream().readNBytes(VERSION_BYTES_MAX), StandardCharsets.UTF_8);
        return said.lines().findFirst().map(line -> line.replaceFirst("^" + program + " version ", "")).orElse("(no answer)").strip();
      } finally {
        process.destroyForcibly();
      }
    } catch (IOException e) {
      return "(cannot be run: " + e.getMessage() + ")";
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return "(not asked)";
    }
  }

  private static void atLeast(List<HostTrait> traits, String name, String consequence) {
    traits.add(new HostTrait(name, sysctl(name), Fit.AT_LEAST, consequence));
  }

  private static String sysctl(String name) {
    return text(SYSCTLS.resolve(name.replace('.', '/')));
  }

  private static String controlGroups() {
    var mounts = text(Path.of("/proc/mounts")).lines().map(line -> line.split(" ")).filter(words -> words.length > 3).toList();
    boolean second = mounts.stream().anyMatch(words -> words[2].equals("cgroup2"));
    boolean first = mounts.stream().anyMatch(words -> words[2].equals("cgroup"));
    return first && second ? "v1 and v2" : second ? "v2" : first ? "v1" : "";
  }

  /** Names only; a profile's mode is behind its name (Documentation/admin-guide/LSM/apparmor.rst). */
  private static String profiles() {
    return text(Path.of("/sys/kernel/security/apparmor/profiles")).lines().map(line -> line.split(" ")[0]).sorted().collect(Collectors.joining(" "));
  }

  /** Empty when there is no such file, or it is not for reading. */
  private static String text(Path file) {
    // With one read for all, since a number under /proc/sys has nothing behind its first byte (kernel/sysctl.c, proc_dointvec).
    try {
      return ProcText.read(file.toString()).strip();
    } catch (NoSuchFileException | KernelException e) {
      return "";
    }
  }
}
