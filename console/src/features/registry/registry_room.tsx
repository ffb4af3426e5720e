import { useEffect, useState } from 'preact/hooks';
import type { RegisteredModel, RegisteredModels } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useData } from '../../app/use_data';
import { formatTime } from '../../ui/format';
import { Badge, Empty, Failure, Loading, Page, Panel, Table } from '../../ui/parts';
import { RegistryModelPage } from './model_page';
import { patternOf } from './served';
import { Tags } from './tags';
import { RegistryVersionPage } from './version_page';

const PAGE = 100;
const ALL = 1000;
const TYPING_MS = 250;

export function RegistryRoom(props: { item: string }) {
  const [model = '', version = ''] = props.item.split('/');
  if (version !== '') return <RegistryVersionPage key={props.item} model={model} version={version} />;
  return model === '' ? <RegistryList /> : <RegistryModelPage key={model} model={model} />;
}

function RegistryList() {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [typed, setTyped] = useState('');
  const [wanted, setWanted] = useState('');
  const [limit, setLimit] = useState(PAGE);
  useEffect(() => {
    const timer = window.setTimeout(() => setWanted(typed.trim()), TYPING_MS);
    return () => window.clearTimeout(timer);
  }, [typed]);
  const query = new URLSearchParams({ limit: String(limit), order: 'name', ...(wanted !== '' && { ilike: patternOf(wanted) }) });
  const { data, problem, reload } = useData((signal) => client.get<RegisteredModels>(`/v1/registry/models?${query}`, signal), [client, wanted, limit], 5000);
  const columns = [
    { key: 'name', title: t('models.model'), cell: (row: RegisteredModel) => <span class="mono">{row.name}</span> },
    { key: 'latest', title: t('registry.latest'), number: true, cell: (row: RegisteredModel) => row.latest ?? t('app.none') },
    { key: 'aliases', title: t('registry.aliases'), cell: (row: RegisteredModel) => <Tags tags={Object.fromEntries(Object.entries(row.aliases).map(([name, version]) => [name, String(version)]))} /> },
    { key: 'tags', title: t('registry.tags'), wide: true, cell: (row: RegisteredModel) => <Tags tags={row.tags} /> },
    { key: 'tenant', title: t('registry.tenant'), wide: true, cell: (row: RegisteredModel) => row.tenant ?? t('limits.everyone') },
    { key: 'updated', title: t('registry.updated'), wide: true, cell: (row: RegisteredModel) => formatTime(row.updated_at, language) },
  ];
  return (
    <Page
      title={t('room.registry')}
      actions={
        <>
          {!can('operate') && <Badge tone="quiet">{t('app.readOnly')}</Badge>}
          <input type="search" placeholder={`${t('app.search')}  /`} aria-label={t('app.search')} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        </>
      }
    >
      {problem !== null && (problem.reason === 'unknown_url' ? <Empty>{t('registry.off')}</Empty> : <Failure problem={problem} retry={reload} />)}
      {data === null && problem === null && <Loading />}
      {data !== null && data.data.length === 0 && <Empty>{t(wanted === '' ? 'registry.empty' : 'models.noMatch')}</Empty>}
      {data !== null && data.data.length > 0 && (
        <Panel>
          <Table label={t('room.registry')} columns={columns} rows={data.data} rowKey={(row) => row.name} href={(row) => hashOf('registry', row.name)} />
        </Panel>
      )}
      {data?.has_more && limit < ALL && (
        <button type="button" onClick={() => setLimit(ALL)}>
          {t('app.more')}
        </button>
      )}
    </Page>
  );
}
