import type { RegisteredVersion } from '../../api/types';
import { useTexts } from '../../app/context';
import { Badge } from '../../ui/parts';

/** Names with their values, side by side. */
export function Tags(props: { tags: Record<string, string> }) {
  const t = useTexts();
  const all = Object.entries(props.tags);
  if (all.length === 0) return <span class="quiet">{t('app.none')}</span>;
  return (
    <span class="tags">
      {all.map(([key, value]) => (
        <span key={key} class="tag mono">
          {key}
          {value !== '' && <span class="quiet"> {value}</span>}
        </span>
      ))}
    </span>
  );
}

const TONES = { uploading: 'busy', testing: 'busy', ready: 'good', rejected: 'bad', archived: 'quiet' } as const;

export function VersionState(props: { version: RegisteredVersion }) {
  const t = useTexts();
  return <Badge tone={TONES[props.version.state]}>{t(`version.${props.version.state}`)}</Badge>;
}
