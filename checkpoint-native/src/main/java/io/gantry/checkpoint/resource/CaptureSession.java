package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.fown_entry;
import io.gantry.checkpoint.image.memfd_inode_entry;
import io.gantry.checkpoint.image.pipe_content_entry;
import io.gantry.checkpoint.linux.FileOwner;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.user.UserNamespaces;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntFunction;

/** What the kinds share while one container's files are described. */
final class CaptureSession {
  /** {@code DEFAULT_OVERFLOWUID}, {@code linux/highuid.h}. */
  private static final int NOBODY = 65534;

  private final Inventory inventory;
  private final Map<SeenDescriptor, Integer> idOf = new HashMap<>();
  private final descriptors_entry.Builder result = descriptors_entry.newBuilder();
  private final Map<Long, Integer> pipes = new HashMap<>();
  private final Map<Integer, pipe_content_entry> pipeContents = new LinkedHashMap<>();
  private final Map<FileIdentity, Integer> memoryFiles = new LinkedHashMap<>();
  private final Map<Integer, SocketOptions.Defaults> socketDefaults = new HashMap<>();
  private final Map<FileIdentity, SeenDescriptor> deleted = new LinkedHashMap<>();
  private final Map<Long, SeenDescriptor> messageQueues = new LinkedHashMap<>();
  private final Set<Integer> terminals = new HashSet<>();
  private Optional<IdMaps> maps = Optional.empty();
  private int lastId;

  CaptureSession(Inventory inventory, List<OpenFile> files) {
    this.inventory = inventory;
    for (var file : files) {
      file.holders().forEach(holder -> idOf.put(holder, file.id()));
      lastId = file.id();
    }
  }

  Inventory inventory() {
    return inventory;
  }

  descriptors_entry.Builder result() {
    return result;
  }

  int idOf(SeenDescriptor seen) {
    return idOf.get(seen);
  }

  /** Gives an id to a file that no process has open. */
  OpenFile inFlight(SeenDescriptor seen) {
    int id = freshId();
    idOf.put(seen, id);
    return new OpenFile(id, List.of(seen));
  }

  /** An id for a file entry that no descriptor refers to. */
  int freshId() {
    return ++lastId;
  }

  void add(file_entry file) {
    result.addFile(file);
  }

  /** Notes a deleted file, whose content has to travel. */
  void deleted(SeenDescriptor seen) {
    deleted.putIfAbsent(new FileIdentity(seen.status().device(), seen.status().inode()), seen);
  }

  Map<FileIdentity, SeenDescriptor> deleted() {
    return deleted;
  }

  /** Notes an open message queue. */
  void messageQueue(SeenDescriptor seen) {
    messageQueues.putIfAbsent(seen.status().inode(), seen);
  }

  Map<Long, SeenDescriptor> messageQueues() {
    return messageQueues;
  }

  /** Describes all TCP connections, once. */
  void describeTcpConnections() {
    if (result.getTcpCount() == 0) {
      result.addAllTcp(TcpStreams.read(inventory));
    }
  }

  /** A small number for a pipe or FIFO, the same for all its ends. */
  int pipeId(long inode) {
    return pipes.computeIfAbsent(inode, i -> pipes.size() + 1);
  }

  boolean hasPipeContent(int pipeId) {
    return pipeContents.containsKey(pipeId);
  }

  void pipeContent(pipe_content_entry content) {
    pipeContents.put(content.getHeader().getPipeId(), content);
    result.addPipe(content);
  }

  /** Whether the end of a terminal with this number is met for the first time. */
  boolean isNewTerminal(int id) {
    return terminals.add(id);
  }

  /** A small number for a memory file; {@code describe} is asked the first time. */
  int memoryFileId(FileIdentity object, IntFunction<memfd_inode_entry> describe) {
    return memoryFiles.computeIfAbsent(
        object,
        o -> {
          int id = memoryFiles.size() + 1;
          result.addMemfd(describe.apply(id));
          return id;
        });
  }

  SocketOptions.Defaults socketDefaults(int family, int type, int protocol) {
    return socketDefaults.computeIfAbsent(
        family << 16 | type << 8 | protocol, key -> SocketOptions.Defaults.measure(family, type, protocol));
  }

  /** What the container calls a user of this host; one that it does not know is nobody to it. */
  int user(int uid) {
    return maps().users().inside(uid).orElse(NOBODY);
  }

  /** What the container calls a group of this host. */
  int group(int gid) {
    return maps().groups().inside(gid).orElse(NOBODY);
  }

  private IdMaps maps() {
    if (maps.isEmpty()) {
      var pids = inventory.processes().stream().map(ProcessRef::pid).toList();
      maps = Optional.of(UserNamespaces.mapsOf(pids.getFirst(), pids));
    }
    return maps.get();
  }

  /** The owner of a file, its ids translated into the container's. */
  fown_entry owner(int copy) {
    var owner = FileOwner.of(copy);
    int pid = owner.pid() == 0 ? 0 : inventory.nsId(owner.pid()).orElse(0);
    return fown_entry.newBuilder()
        .setUid(user(owner.uid()))
        .setEuid(user(owner.euid()))
        .setSignum(owner.signal())
        .setPidType(pid == 0 ? 0 : owner.type())
        .setPid(pid)
        .build();
  }
}
