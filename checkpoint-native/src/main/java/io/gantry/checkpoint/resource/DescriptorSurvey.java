package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.Holding;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.procfs.ElfBuildId;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntConsumer;

/**
 * What a running container has open, and what speaks against carrying it. Stops, consumes and changes nothing.
 * Any one thread.
 */
public final class DescriptorSurvey {
  private static final Path PROC = Path.of("/proc");
  /** The container's own view of the node; both hosts have their own. */
  private static final String OWN_DIRECTORY = "/run/gantry/";

  private final Inventory inventory;
  private final List<Finding> findings = new ArrayList<>();
  private final Map<String, Footprint.FileFact> files = new LinkedHashMap<>();
  private final LinkedHashSet<String> ports = new LinkedHashSet<>();

  private boolean connected;

  private DescriptorSurvey(Inventory inventory) {
    this.inventory = inventory;
  }

  /**
   * @param findings everything that cannot be carried, each with process and descriptor
   * @param files files that are open or mapped by path
   * @param listeningPorts bound ports, such as {@code "tcp 0.0.0.0:6379"}, {@code "tcp [::]:6379"}; {@code "tcp6only
   * [::]:6379"} does not
   *     take IPv4 connections; and connections, such as {@code "tcp-connection 127.0.0.1:6379 127.0.0.1:40000"}
   * @param descriptors how many there are
   */
  public record Survey(List<Finding> findings, List<Footprint.FileFact> files, List<String> listeningPorts, int descriptors) {}

  /** Looks at processes, given as the host counts. Those that end meanwhile are left out. */
  public static Survey survey(List<Integer> pids) {
    if (pids.isEmpty()) {
      return new Survey(List.of(), List.of(), List.of(), 0);
    }
    return NetworkThread.where(pids.getFirst(), () -> surveyHere(pids));
  }

  private static Survey surveyHere(List<Integer> pids) {
    var processes = pids.stream().map(pid -> new ProcessRef(pid, nsPid(pid))).toList();
    var owners = ThreadTables.with(processes);
    try (var inventory = Inventory.take(owners)) {
      var survey = new DescriptorSurvey(inventory);
      inventory.descriptors().forEach(survey::look);
      if (inventory.hasOwnNetwork()) {
        // Every port and every name is free in a new network namespace.
        survey.ports.clear();
      } else if (survey.connected) {
        inventory.tcpEnds().named().forEach(addresses -> survey.ports.add(Preflight.CONNECTION + " " + addresses));
      }
      survey.findings.addAll(Obstacles.ofTables(processes));
      survey.findings.addAll(ThreadTables.obstacles(owners));
      survey.findings.addAll(Outsiders.find(inventory));
      survey.findings.addAll(PseudoTerminal.controlling(inventory));
      processes.forEach(survey::mappedFiles);
      // Programs write a file beside another and rename it: what has no name any more needs none at the destination.
      survey.files.keySet().removeIf(path -> FileStatus.of(inventory.root() + path).isEmpty());
      return new Survey(
          List.copyOf(survey.findings),
          List.copyOf(survey.files.values()),
          List.copyOf(survey.ports),
          inventory.descriptors().size());
    }
  }

  /** Counts the descriptors of processes, given as the host counts, by kind; in the order in which they are met. */
  public static List<Holding> kinds(List<Integer> pids) {
    return pids.isEmpty() ? List.of() : NetworkThread.where(pids.getFirst(), () -> kindsHere(pids));
  }

  private static List<Holding> kindsHere(List<Integer> pids) {
    var processes = pids.stream().map(pid -> new ProcessRef(pid, nsPid(pid))).toList();
    Map<String, Holding> found = new LinkedHashMap<>();
    try (var inventory = Inventory.take(ThreadTables.with(processes))) {
      for (var seen : inventory.descriptors()) {
        withCopy(
            inventory,
            seen,
            copy -> {
              var kind = FileKinds.of(seen, copy);
              var one = Holding.of("descriptor", kind.name(seen, copy), 1, kind.how());
              found.merge(one.kind(), one, (all, next) -> Holding.of(all.part(), all.kind(), all.count() + 1, all.how()));
            });
      }
    }
    return List.copyOf(found.values());
  }

  private static int nsPid(int pid) {
    try (var lines = Files.lines(Path.of("/proc/" + pid + "/status"), StandardCharsets.ISO_8859_1)) {
      var line = lines.filter(text -> text.startsWith("NStgid:")).findFirst().orElse("NStgid:\t" + pid);
      return Integer.parseInt(line.substring(line.lastIndexOf('\t') + 1).strip());
    } catch (IOException | UncheckedIOException gone) {
      return pid;
    }
  }

  /** Does something with our own copy of a descriptor; nothing when it was closed meanwhile. */
  private static void withCopy(Inventory inventory, SeenDescriptor seen, IntConsumer work) {
    try {
      int copy = inventory.take(seen);
      try {
        work.accept(copy);
      } finally {
        Fd.close(copy);
      }
    } catch (KernelException e) {
      if (!Inventory.isGone(e)) {
        throw e;
      }
    }
  }

  private void look(SeenDescriptor seen) {
    // Each container has terminals and message queues of its own, whose paths name nothing on the destination.
    var own = new AtomicBoolean(PseudoTerminal.is(seen));
    withCopy(
        inventory,
        seen,
        copy -> {
          findings.addAll(Obstacles.of(seen, copy, inventory));
          port(seen, copy);
          own.compareAndSet(false, MessageQueue.is(seen, copy));
        });
    if (!own.get() && seen.isPath() && !seen.link().startsWith(OWN_DIRECTORY) && !seen.link().endsWith(SeenDescriptor.DELETED)
        && seen.status().type() != FileStatus.S_IFLNK) {
      boolean written = (seen.info().statusFlags() & 3) != Fd.O_RDONLY;
      fact(seen.link(), seen.status(), written);
    }
  }

  private void port(SeenDescriptor seen, int copy) {
    var kind = FileKinds.of(seen, copy);
    boolean tcp = kind instanceof TcpSocket;
    connected |= kind instanceof TcpConnection;
    boolean udp = !tcp && InternetSocket.is(seen, copy, Sockets.SOCK_DGRAM, Sockets.IPPROTO_UDP);
    if (tcp || udp) {
      var local = InternetAddress.parse(Sockets.localAddress(copy));
      if (local.port() != 0 && (udp || TcpSocket.isListening(copy))) {
        var only = InternetSocket.isV6Only(copy, local) ? "6only " : " ";
        ports.add((tcp ? "tcp" : "udp") + only + local.text());
      }
    } else if (kind instanceof UnixSocket) {
      unixName(seen, copy);
    }
  }

  private void unixName(SeenDescriptor seen, int copy) {
    var socket = inventory.unixSocket(seen.status().inode());
    var name = new UnixName(socket.name());
    boolean own = socket.isListening() || !socket.connected() || socket.isDatagram();
    if (name.isAbstract() && own) {
      ports.add("unix " + name.key());
    } else if (name.isPath() && own) {
      Sockets.unixFile(copy).ifPresent(this::directoryOf);
    }
  }

  /** A socket's file is made anew in the directory it lies in. */
  private void directoryOf(int file) {
    try {
      var path = OwnLink.of(file);
      int slash = path.lastIndexOf('/');
      if (slash > 0 && !OwnLink.isDeleted(path, FileStatus.of(file))) {
        var directory = path.substring(0, slash);
        FileStatus.of(inventory.root() + directory).ifPresent(status -> fact(directory, status, true));
      }
    } finally {
      Fd.close(file);
    }
  }

  private void mappedFiles(ProcessRef process) {
    try (var lines = Files.lines(PROC.resolve(process.pid() + "/maps"), StandardCharsets.UTF_8)) {
      lines.forEach(
          line -> {
            int slash = line.indexOf('/');
            if (slash > 0 && !line.endsWith(SeenDescriptor.DELETED)) {
              var path = line.substring(slash);
              boolean sharedWritable = line.charAt(line.indexOf(' ') + 2) == 'w' && line.charAt(line.indexOf(' ') + 4) == 's';
              if (!path.startsWith(OWN_DIRECTORY)) {
                FileStatus.of(inventory.root() + path).ifPresent(status -> fact(path, status, sharedWritable));
              }
            }
          });
    } catch (IOException | UncheckedIOException gone) {
      // The process ended meanwhile, or has a file mapped whose name is no UTF-8, which its descriptors or the layout report.
    }
  }

  private void fact(String path, FileStatus status, boolean written) {
    if (inventory.isInOwnShm(status)) {
      return;
    }
    boolean sizeCounts = !written && status.type() == FileStatus.S_IFREG && !RegularFile.isGenerated(path);
    var known = files.get(path);
    if (known == null) {
      var buildId = sizeCounts ? ElfBuildId.read(Path.of(inventory.root() + path)) : "";
      files.put(path, new Footprint.FileFact(path, sizeCounts ? status.size() : -1, status.mode(), buildId));
    } else if (!sizeCounts && known.sizeBytes() >= 0) {
      files.put(path, new Footprint.FileFact(path, -1, status.mode(), known.buildId()));
    }
  }
}
