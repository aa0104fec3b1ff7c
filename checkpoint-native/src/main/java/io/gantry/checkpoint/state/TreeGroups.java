package io.gantry.checkpoint.state;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** The third part of a plan: process groups. A group whose leader has died, or has moved on to another one, is founded again first. */
final class TreeGroups {
  private final TreeActs acts;
  private final TreeModel model;
  private final Map<Integer, TreeMember> wanted;

  TreeGroups(TreeActs acts, Map<Integer, TreeMember> wanted) {
    this.acts = acts;
    this.model = acts.model();
    this.wanted = wanted;
  }

  void form() {
    List<TreeMember> moving =
        new ArrayList<>(
            wanted.values().stream().filter(member -> model.get(member.pid()).pgid != member.pgid()).toList());
    for (TreeMember member : List.copyOf(moving)) {
      if (member.pgid() == member.pid() && mayMove(member)) {
        acts.setPgid(member.pid(), member.pid());
        moving.remove(member);
      }
    }
    var helpers = new ArrayList<Integer>();
    for (int group : new TreeSet<>(moving.stream().map(TreeMember::pgid).toList())) {
      var members = moving.stream().filter(member -> member.pgid() == group).toList();
      if (!model.hasGroup(group, members.getFirst().sid())) {
        found(group, members.getFirst(), moving, helpers);
      }
    }
    // A process that founded a group for others goes to its own last, when the others are in.
    moving.sort((a, b) -> Boolean.compare(leads(a), leads(b)));
    for (TreeMember member : moving) {
      if (!mayMove(member) || !model.hasGroup(member.pgid(), member.sid())) {
        throw TreePlan.cannot(member);
      }
      acts.setPgid(member.pid(), member.pgid());
    }
    helpers.forEach(helper -> acts.exitHelper(helper, 1));
  }

  private void found(int group, TreeMember first, List<TreeMember> moving, List<Integer> helpers) {
    var living = wanted.get(group);
    if (living != null) {
      if (living.sid() != first.sid() || living.sid() == living.pid()) {
        throw TreePlan.cannot(first);
      }
      acts.setPgid(group, group);
      if (!moving.contains(living)) {
        moving.add(living);
      }
      return;
    }
    if (group == 0 || model.isTaken(group)) {
      throw TreePlan.cannot(first);
    }
    acts.forkHelper(first.pid(), group);
    acts.setPgid(group, group);
    helpers.add(group);
  }

  private boolean mayMove(TreeMember member) {
    return model.get(member.pid()).sid != member.pid();
  }

  private boolean leads(TreeMember member) {
    return model.get(member.pid()).pgid == member.pid();
  }
}
